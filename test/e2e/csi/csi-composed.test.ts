import { createPrivateKey, X509Certificate } from 'node:crypto'
import { test } from 'tap'
import { whyNoMounts } from '../../real/host/mount-namespace.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import { certify, makeKey, rotateKey } from '../../real/vault/transit-setup.ts'
import { startCsiStack } from './csi-stack.ts'

void test('files made of parts, keys and other objects', { skip: whyNoMounts() }, async (t) => {
  const { cluster, driver, vault } = await startCsiStack(t, { csi: { refreshInterval: '1s' } })
  const { bao } = vault
  const authority = await CertificateAuthority.create()
  await makeKey(bao, 'app-exported', { type: 'ecdsa-p256', exportable: true })
  await certify(bao, 'app-exported', authority)
  await makeKey(bao, 'app-next', { type: 'ed25519' })
  await makeKey(bao, 'app-derived', { type: 'ed25519', derived: true })
  await makeKey(bao, 'app-data')
  const json = JSON.stringify({ db: { user: 'web', password: 'a "quoted" one' }, der: 'AAEC' })
  const value = {
    type: 'decrypt',
    key: 'app-data',
    ciphertext: await vault.encrypt('app-data', json),
  }
  const objects = [
    { ...value, name: 'user', jsonPointer: '/db/user' },
    { ...value, name: 'password', path: 'db/password', jsonPointer: '/db/password', mode: '0400' },
    { ...value, path: 'der', yamlPointer: '/der', decode: 'base64', encoding: 'hex' },
    { name: 'key', type: 'exportedKey', key: 'app-exported' },
    { name: 'chain', type: 'certificate', key: 'app-exported' },
    { path: 'tls/both.pem', type: 'bundle', of: ['key', 'chain'], mode: '0400' },
    {
      path: 'db/config.json',
      type: 'template',
      text: '{"user": {{ user | json }}, "password": {{ password | json }}}\n',
    },
    { path: 'jwks.json', type: 'jwks', keys: ['app-exported', 'app-next'], kid: 'thumbprint' },
    { path: 'id.pub', type: 'publicKey', key: 'app-next', format: 'openssh', comment: 'web' },
    { path: 'shop.pem', type: 'publicKey', key: 'app-derived', context: 'c2hvcA==' },
  ]
  await cluster.writeClass({
    name: 'composed',
    objects,
    secretObjects: [
      {
        secretName: 'tls',
        type: 'Opaque',
        data: [{ objectName: 'tls/both.pem', key: 'both' }],
      },
    ],
  })
  const pod = await cluster.createPod({ name: 'web', classes: 'composed' })
  const volume = driver.volume(pod, 'composed')

  await t.test('only objects with a path are files, with their modes', async (t) => {
    await cluster.publish(pod, 'composed')
    t.same(volume.files(), [
      'db/config.json',
      'db/password',
      'der',
      'id.pub',
      'jwks.json',
      'shop.pem',
      'tls/both.pem',
    ])
    t.equal(volume.mode('tls/both.pem'), '0400')
    t.equal(volume.mode('db/config.json'), '0444')
    t.same(volume.json('db/config.json'), { user: 'web', password: 'a "quoted" one' })
    t.equal(volume.text('db/password'), 'a "quoted" one')
    t.equal(volume.text('der'), '000102')
    t.match(volume.text('id.pub'), /^ssh-ed25519 \S+ web\n$/)
    t.match(volume.json('jwks.json'), { keys: [{ kid: /^.{43}$/ }, { kid: /^.{43}$/ }] })
    t.match(volume.text('shop.pem'), /^-----BEGIN PUBLIC KEY-----/)
    t.ok(isPair(volume.text('tls/both.pem')))
    t.same(
      Object.keys((await cluster.podStatus(pod, 'composed'))?.versions ?? {}).toSorted(),
      volume.files(),
    )
  })

  await t.test('a bundle becomes a Secret', async (t) => {
    await driver.waitUntil('the Secret', async () => {
      const secret = await cluster.api.getSecret(pod.namespace, 'tls')
      return secret['both'] === volume.text('tls/both.pem')
    })
    t.ok(isPair((await cluster.api.getSecret(pod.namespace, 'tls'))['both'] ?? ''))
  })

  await t.test(
    'no file is replaced without a change; a rotation changes the bundle once it has a certificate',
    async (t) => {
      const before = { generation: volume.generation, bundle: volume.text('tls/both.pem') }
      for (let round = 0; round < 3; round += 1) await cluster.publish(pod, 'composed')
      t.equal(volume.generation, before.generation)
      await rotateKey(bao, 'app-exported')
      await certify(bao, 'app-exported', authority)
      await driver.waitUntil('the new bundle', async () => {
        await cluster.publish(pod, 'composed')
        return volume.text('tls/both.pem') !== before.bundle
      })
      t.ok(isPair(volume.text('tls/both.pem')))
      t.equal(volume.text('db/password'), 'a "quoted" one')
    },
  )
})

function isPair(pem: string): boolean {
  const certificate = new X509Certificate(pem.slice(pem.indexOf('-----BEGIN CERTIFICATE')))
  return certificate.checkPrivateKey(createPrivateKey(pem))
}
