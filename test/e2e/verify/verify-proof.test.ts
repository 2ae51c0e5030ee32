// "ok" and exit code 0 mean proved: stores of a real etcd and a real kube-apiserver that look fine and are not, and the reverse.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { t, test } from 'tap'
import { stringify } from 'yaml'
import { run } from '../../commands/program.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { reportOf, runVerify } from '../../verify/run-verify.ts'
import { saveSnapshot } from '../../verify/snapshot-of.ts'
import { eventually } from '../../real/host/eventually.ts'
import { encryptionConfig, identity, kms, type Provider } from '../encryption-config.ts'
import { startApiServer, startCluster, startEtcd } from '../cluster.ts'

const PLAINTEXT = Buffer.from('{"kind":"Route"}')

const { api, etcd, plugin } = await startCluster(t)
const endpoint = ['--endpoints', etcd.address]
const secret = Buffer.alloc(32, 7).toString('base64')
const secretbox: Provider = { secretbox: { keys: [{ name: 'box', secret }] } }

function fileOf(text: string): string {
  const file = join(tempFolder('proof'), 'encryption.yaml')
  writeFileSync(file, text)
  return file
}

void test('an etcd with events only is not the store of a cluster', async (t) => {
  const bare = await startEtcd(t)
  await bare.put('/registry/events/default/a.1', PLAINTEXT)
  const bareEndpoint = ['--endpoints', bare.address]
  for (const args of [bareEndpoint, [...bareEndpoint, '--resources', 'secrets']])
    t.match(await runVerify(...args), {
      code: 1,
      stdout: /NOT ok: .*\/registry\/namespaces\/kube-system does not exist/,
    })
  const snapshot = await saveSnapshot(bare)
  t.match(await runVerify('--snapshot', snapshot), {
    code: 1,
    stdout: /kube-system does not exist/,
  })
})

void test('the layout of an aggregated API server is not mistaken for encrypted data', async (t) => {
  const bare = await startEtcd(t)
  await bare.put('/openshift.io/routes/shop/web', PLAINTEXT)
  await bare.put('/openshift.io/oauth/accesstokens/sha256~x', PLAINTEXT)
  const rules = fileOf(
    encryptionConfig(
      [kms('/run/kms.sock')],
      ['routes.route.openshift.io', 'oauthaccesstokens.oauth.openshift.io'],
    ),
  )
  const { code, stdout } = await runVerify(
    '--endpoints',
    bare.address,
    '--etcd-prefix',
    'openshift.io',
    '--encryption-config',
    rules,
  )
  t.equal(code, 1)
  t.match(stdout, 'routes.route.openshift.io must be encrypted, but was not found')
  t.match(stdout, 'plaintext object under /openshift.io/routes/ (/openshift.io/routes/shop/web)')
})

void test('objects that were never decrypted are not "every object decrypted"', async (t) => {
  const config = stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [
      { resources: ['secrets'], providers: [kms(plugin.socket), identity] },
      { resources: ['configmaps'], providers: [secretbox, identity] },
    ],
  })
  await api.restart({ encryptionConfig: config })
  await api.createSecret('default', 'one', { password: 'x' })
  await api.api('POST', '/api/v1/namespaces/default/configmaps', { metadata: { name: 'boxed' } })
  const snapshot = await saveSnapshot(etcd)
  const drill = ['drill', 'backup', snapshot, '--config', plugin.configFile]
  const onlySecrets = fileOf(encryptionConfig([kms(plugin.socket), identity]))
  for (const args of [drill, [...drill, '--encryption-config', onlySecrets]]) {
    const { code, stdout } = await run(args)
    t.equal(code, 1, stdout)
    t.match(stdout, /configmaps\/default\/boxed: its secretbox key is only in/)
    t.match(stdout, 'not proved that all of it can be restored')
  }
  const { code, report } = await reportOf(
    ...endpoint,
    '--deep',
    '--objects',
    '--config',
    plugin.configFile,
  )
  t.equal(code, 1)
  t.equal(
    report.unproven,
    report.resources.find((each) => each.resource === 'configmaps')?.unproven,
  )
  t.ok(report.unproven >= 1)
  await api.api('DELETE', '/api/v1/namespaces/default/configmaps/boxed')
})

void test('an EncryptionConfiguration that cannot read the store is not ok', async (t) => {
  await api.restart({
    encryptionConfig: encryptionConfig([secretbox, kms(plugin.socket), identity]),
  })
  await api.createSecret('default', 'boxed', { password: 'x' })
  const next = fileOf(encryptionConfig([kms(plugin.socket)]))
  t.match(await runVerify(...endpoint, '--encryption-config', next), {
    code: 1,
    stdout: /no provider of --encryption-config can read: secrets 1\n/,
  })
  // With that file a kube-apiserver 1.37 does not even become ready ("no matching prefix found").
  await api.restart({
    encryptionConfig: encryptionConfig([kms(plugin.socket), secretbox, identity]),
  })
  await api.patchSecret('default', 'boxed')
  t.match(await runVerify(...endpoint, '--encryption-config', next), { code: 0 })
})

void test('a rule for *.* is proved on a fresh cluster', async (t) => {
  const fresh = await startEtcd(t)
  const config = stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [
      { resources: ['events'], providers: [identity] },
      { resources: ['*.*'], providers: [kms(plugin.socket), identity] },
    ],
  })
  // A lease of an API server is not written for a loopback address.
  await startApiServer(t, {
    etcd: fresh,
    encryptionConfig: config,
    extraArgs: ['--endpoint-reconciler-type=lease', '--advertise-address=192.0.2.10'],
  })
  for (const path of ['ranges/', 'masterleases/'])
    await eventually(
      `${path} to be written`,
      async () => (await fresh.range(`/registry/${path}`)).length > 0,
      { timeoutMs: 60_000, intervalMs: 250 },
    )
  const { code, report } = await reportOf(
    '--endpoints',
    fresh.address,
    '--encryption-config',
    fileOf(config),
  )
  t.match(report, { ok: true, plain: 0, gaps: [] }, JSON.stringify(report.gaps))
  t.equal(code, 0)
})

void test('a file without a checksum is not ok unless that is accepted', async (t) => {
  const copy = join(tempFolder('proof'), 'db')
  writeFileSync(copy, readFileSync(await saveSnapshot(etcd)).subarray(0, -32))
  const args = ['--snapshot', copy]
  t.match(await runVerify(...args), {
    code: 1,
    stdout: /has no checksum, so objects may be missing/,
  })
  t.match(await runVerify(...args, '--skip-hash-check'), { code: 0, stdout: /\nok: / })
})
