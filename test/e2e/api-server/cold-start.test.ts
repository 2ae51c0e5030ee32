// Everything in etcd is encrypted, and everything starts at once after a power cut.
import { t, test, type Test } from 'tap'
import { encryptionConfig, kms } from '../encryption-config.ts'
import { kmsProviders, pluginCalls } from '../observe.ts'
import { findInEtcd, parseStored } from '../stored.ts'
import { startCluster } from '../cluster.ts'

const VALUES = { password: 'the-password-of-a-cold-start' }

// No identity: plaintext could not even be read.
const cluster = await startCluster(t, {
  encryptionConfig: (socket) => encryptionConfig([kms(socket)], ['*.*']),
})
const { vault, etcd, plugin, api } = cluster

void test('with *.* all that the API server stores is ciphertext', async (t) => {
  await api.createSecret('default', 'before', VALUES)
  const values = await etcd.range('/registry/')
  const plain = values.filter(({ value }) => parseStored(value).format === 'plain')
  const kinds = new Set(plain.map(({ key }) => key.split('/')[2]))
  t.comment(`${String(values.length)} values, plain are those of: ${[...kinds].join(', ')}`)
  // What the API server keeps for itself, which is not a resource that a rule can name; it writes these when it likes.
  const internal = ['peerserverleases', 'ranges']
  t.same(
    [...kinds].filter((kind) => !internal.includes(kind ?? '')),
    [],
  )
  t.ok(values.length > plain.length)
  t.same(await findInEtcd(etcd, VALUES.password), [])
})

void test('after a power cut, the plugin starts before the API server', async (t) => {
  await powerCut()
  await startOthers()
  await plugin.restart()
  await api.restart()
  await readAll(t)
})

void test('after a power cut, the API server starts before the plugin', async (t) => {
  await powerCut()
  await startOthers()
  await api.restart({ waitReady: false })
  t.not((await api.readyz()).status, 200)
  await plugin.restart()
  await readAll(t)
})

void test('after a power cut, Vault comes last, sealed', async (t) => {
  await powerCut()
  await etcd.restart()
  await Promise.all([api.restart({ waitReady: false }), plugin.restart()])
  await vault.bao.restart({ sealed: true })
  await plugin.waitForHealth(/sealed/)
  // A plugin that has never reached Vault has no key id to report.
  t.match(await kmsProviders(api, /not healthy/), /keyID is empty|KeyID/)
  const empty = 'apiserver_envelope_encryption_invalid_key_id_from_status_total'
  t.ok(((await api.samples(empty, { error: 'empty' }))[0]?.value ?? 0) > 0)
  await vault.bao.unseal()
  await readAll(t)
})

/** Of the control plane, only what is on disk is left. */
async function powerCut(): Promise<void> {
  await Promise.all([api.kill(), plugin.kill(), etcd.kill(), vault.bao.kill()])
}

async function startOthers(): Promise<void> {
  await Promise.all([etcd.restart(), vault.bao.restart()])
}

async function readAll(t: Test): Promise<void> {
  const startedAt = performance.now()
  await kmsProviders(api, 'ok')
  t.same(await api.getSecret('default', 'before'), VALUES)
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
  const decrypts = await pluginCalls(plugin, { method: 'Decrypt', code: 'OK' })
  t.comment(`read after ${seconds} s, ${String(decrypts)} Decrypts`)
}
