import { createPublicKey, X509Certificate } from 'node:crypto'
import { after, end, test } from 'tap'
import { PodVault, newPod } from '../pod-vault.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import { certify, rotateKey } from '../../real/vault/transit-setup.ts'
import { failure, startFixture } from '../fixture.ts'

const vault = await PodVault.start()
const fixture = await startFixture(vault)
const authority = await CertificateAuthority.create()
after(async () => {
  await fixture.stop()
  await vault.stop()
})

async function mount(objects: readonly object[]) {
  return fixture.driver.mount({ attributes: await vault.attributes(newPod(), objects) })
}

function certificatesIn(pem: Buffer | undefined): X509Certificate[] {
  const blocks = String(pem).match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/g)
  return (blocks ?? []).map((block) => new X509Certificate(block))
}

for (const type of ['rsa-2048', 'ecdsa-p256', 'ecdsa-p384', 'ed25519']) {
  void test(`the certificate chain of a key of type ${type} is mounted`, async (t) => {
    const key = `tls-${type}`
    await vault.makeKey(key, type)
    await certify(vault.bao, key, authority)
    const { files } = await mount([
      { path: 'chain.pem', type: 'certificate', key },
      { path: 'key.pem', type: 'publicKey', key },
    ])
    const [leaf, issuer, ...others] = certificatesIn(files.get('chain.pem')?.contents)
    t.same(others, [])
    t.equal(issuer?.fingerprint256, new X509Certificate(authority.caPem).fingerprint256)
    t.ok(leaf?.publicKey.equals(createPublicKey(String(files.get('key.pem')?.contents))))
    t.ok(issuer !== undefined && leaf?.verify(issuer.publicKey))
  })
}

void test('each version has its own certificate, and a renewed one has another object version', async (t) => {
  const eager = await startFixture(vault, { refreshIntervalMs: 0, revalidateAfterMs: 0 })
  const mountNow = async (objects: readonly object[]) =>
    eager.driver.mount({ attributes: await vault.attributes(newPod(), objects) })
  const key = 'renewed'
  const latest = { path: 'chain.pem', type: 'certificate', key }
  const all = { path: 'all', type: 'certificate', key, version: 'all' }
  await vault.makeKey(key, 'ecdsa-p256')
  t.match(await failure(mountNow([all])), {
    code: 'NOT_FOUND',
    message: `objects[0] (all): Vault has no certificate for any version of transit key renewed; store one with a write to keys/renewed/set-certificate, or write optional: true`,
  })
  await certify(vault.bao, key, authority)
  const first = await mountNow([latest])
  await certify(vault.bao, key, authority)
  const renewed = await mountNow([latest])
  t.not(renewed.versions.get('chain.pem'), first.versions.get('chain.pem'))
  t.same((await mountNow([latest])).versions, renewed.versions)
  await rotateKey(vault.bao, key)
  t.match(await failure(mountNow([latest])), {
    code: 'NOT_FOUND',
    message:
      /Vault has no certificate for version 2 of transit key renewed; store one with a write/,
  })
  const { files } = await mountNow([
    { ...latest, optional: true },
    { ...latest, path: 'one', version: 1 },
    all,
  ])
  t.same([...files.keys()], ['one', 'all/1'], 'versions without a certificate are left out')
  t.same(files.get('one')?.contents, files.get('all/1')?.contents)
  await certify(vault.bao, key, authority)
  t.same([...(await mountNow([all])).files.keys()], ['all/1', 'all/2'])
  await eager.stop()
})

void test('a symmetric key has no certificate', async (t) => {
  await vault.makeKey('symmetric')
  t.match(await failure(mount([{ path: 'x', type: 'certificate', key: 'symmetric' }])), {
    code: 'FAILED_PRECONDITION',
    message:
      'objects[0] (x): transit key symmetric has type aes256-gcm96, which has no certificate',
  })
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
