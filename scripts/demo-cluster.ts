// Like scripts/demo.ts, with a real kube-apiserver: npm run demo:cluster.
//
// A real OpenBao (or the vault on PATH), etcd, the built plugin and kube-apiserver, all on 127.0.0.1 and in
// temporary folders, which are removed at the end.
import { encryptionConfig, identity, kms } from '../test/e2e/encryption-config.ts'
import { eventually } from '../test/real/host/eventually.ts'
import { kmsProviders, newKeyId, noticed, pluginCalls } from '../test/e2e/observe.ts'
import { findInEtcd, parseStored, SECRETS, seedsOfSecrets, storedV2 } from '../test/e2e/stored.ts'
import { Etcd } from '../test/real/cluster/etcd.ts'
import { KEY, KmsVault } from '../test/real/vault/kms-vault.ts'
import { KubeApiServer } from '../test/real/cluster/kube-api-server.ts'
import { obtain } from '../test/real/host/parts.ts'
import { Plugin } from '../test/real/program/plugin.ts'
import { TcpProxy } from '../test/real/faults/tcp-proxy.ts'
import { rotateKey } from '../test/real/vault/transit-setup.ts'
import { expect, Narration, paint, runDemonstration, shorten } from './narration.ts'

const NAME = 'database'
const VALUES = { password: 'correct-horse-battery-staple' }
const REFRESH_INTERVAL = '2s'
const OUTAGE_GRACE = '5s'
/** How many bytes of a value in etcd are shown, from its start and from its end. */
const HEAD = 48
const TAIL = 176

type Cluster = { vault: KmsVault; proxy: TcpProxy; etcd: Etcd; plugin: Plugin; api: KubeApiServer }

const narration = new Narration()

/** Runs the whole demonstration and stops everything it started, even if it fails. */
async function demonstrate(): Promise<void> {
  narration.say(
    paint('bold', 'transit-bridge: Secrets of a real kube-apiserver, under a Transit key'),
  )
  await narration.step('get the parts (built or downloaded once, then kept)', async () => {
    await obtain('bao')
    await obtain('etcd')
    await obtain('kube-apiserver')
    return 'OpenBao, etcd and kube-apiserver are ready to use'
  })
  await using stack = new AsyncDisposableStack()
  const cluster = await startCluster(stack)
  await encrypt(cluster)
  await rotate(cluster)
  await restart(cluster)
  await loseVault(cluster)
}

async function startCluster(stack: AsyncDisposableStack): Promise<Cluster> {
  const [vault, proxy] = await start('start a real OpenBao', async () => {
    const bao = await KmsVault.start({ audit: false })
    stack.defer(() => bao.stop())
    const between = await TcpProxy.start(bao.bao.address)
    stack.defer(() => between.stop())
    return [[bao, between] as const, `transit key ${KEY}, vault-policies/kms.hcl, a JWT login`]
  })
  const etcd = await start('start etcd', async () => {
    const started = await Etcd.start()
    stack.defer(() => started.stop())
    return [started, started.address]
  })
  const plugin = await start('start the built plugin (bin/transit-bridge kms)', async () => {
    const started = await Plugin.start(
      vault.configuration(proxy.address, {
        refreshInterval: REFRESH_INTERVAL,
        outageGrace: OUTAGE_GRACE,
      }),
    )
    stack.defer(async () => void (await started.stop()))
    await started.waitForHealth('ok')
    return [started, `logged in with a service-account token, Status is ok`]
  })
  const api = await start('start kube-apiserver, without encryption', async () => {
    const started = await KubeApiServer.start({
      etcd,
      encryptionConfig: encryptionConfig([identity]),
    })
    stack.defer(() => started.stop())
    const { body } = await started.request('GET', '/version')
    return [started, `${String(body.gitVersion)} is ready`]
  })
  return { vault, proxy, etcd, plugin, api }
}

async function encrypt({ etcd, plugin, api }: Cluster): Promise<void> {
  await narration.step(`create Secret ${NAME} and look at the bytes in etcd`, async () => {
    await api.createSecret('default', NAME, VALUES)
    const places = await findInEtcd(etcd, VALUES.password)
    expect(
      places.includes(`${SECRETS}default/${NAME}`),
      'the password is not in etcd at the key of the Secret',
    )
    return 'the password is plaintext'
  })
  await showStored(etcd)
  await narration.step('enable encryption (EncryptionConfiguration) and restart', async () => {
    const providers = [kms(plugin.socket), identity]
    await api.restart({ encryptionConfig: encryptionConfig(providers) })
    expect((await api.getSecret('default', NAME))['password'] === VALUES.password, 'not readable')
    return 'the API server is ready and still reads the plaintext Secret'
  })
  await narration.step('rewrite the Secret (a no-op patch)', async () => {
    await api.patchSecret('default', NAME)
    const stored = await storedV2(etcd, NAME)
    const values = await etcd.range('/registry/')
    const plain = values.filter(({ value }) => value.includes(VALUES.password))
    expect(plain.length === 0, 'the password is still in etcd')
    return `the seed is ${shorten(stored.source)}, the key id ${shorten(stored.keyId)}; none of ${String(values.length)} values in etcd contains the password (its history does until the next compaction)`
  })
  await showStored(etcd)
}

async function rotate({ vault, etcd, plugin, api }: Cluster): Promise<void> {
  const { keyId: old } = await plugin.client.status()
  await narration.step('rotate the key in Transit', async () => {
    await rotateKey(vault.bao, KEY)
    const keyId = await newKeyId(plugin, old)
    return `the plugin announces ${shorten(keyId)}`
  })
  const { keyId } = await plugin.client.status()
  await narration.step('wait until the API server has called Status (at most 20 s)', async () => {
    await noticed(api, keyId)
    return 'it writes with the new key id'
  })
  await narration.step('write a new Secret, read the old one', async () => {
    await api.createSecret('default', 'new', VALUES)
    const [before, after] = [await storedV2(etcd, NAME), await storedV2(etcd, 'new')]
    expect(
      before.keyId === old && after.keyId === keyId,
      'the Secrets do not have the old and the new key id',
    )
    expect((await api.getSecret('default', NAME))['password'] === VALUES.password, 'not readable')
    return `the new seed is ${shorten(after.source)}; data under the old seed ${shorten(before.source)} is readable`
  })
  await narration.step('rewrite both', async () => {
    const modified = async () => [...(await etcd.range(SECRETS))].map((each) => each.modRevision)
    const before = await modified()
    for (const name of [NAME, 'new']) await api.patchSecret('default', name)
    const after = await modified()
    const rewritten = after.filter((revision, index) => revision !== before[index]).length
    expect(rewritten === 1, `${String(rewritten)} of 2 were rewritten`)
    expect((await storedV2(etcd, NAME)).keyId === keyId, 'it still has the old key id')
    return 'the stale one is rewritten under the new key id, the other one is unchanged'
  })
}

async function restart({ etcd, plugin, api }: Cluster): Promise<void> {
  await narration.step('kill the API server, start it again, read the Secrets', async () => {
    const before = await pluginCalls(plugin, { method: 'Decrypt', code: 'OK' })
    await api.kill()
    await api.restart()
    for (const name of [NAME, 'new']) {
      expect((await api.getSecret('default', name))['password'] === VALUES.password, 'wrong')
    }
    const decrypts = (await pluginCalls(plugin, { method: 'Decrypt', code: 'OK' })) - before
    const seeds = (await seedsOfSecrets(etcd)).size
    return `both are readable; Decrypts: ${String(decrypts)}, seeds in etcd: ${String(seeds)}`
  })
}

async function loseVault({ etcd, proxy, plugin, api }: Cluster): Promise<void> {
  const { keyId } = await plugin.client.status()
  await narration.step(`disconnect Vault (outageGrace ${OUTAGE_GRACE})`, async () => {
    await proxy.refuse()
    const words = await kmsProviders(api, /healthz status/)
    return `/readyz/kms-providers: "${/healthz status: (.*)/.exec(words)?.[1]?.trim() ?? words}"`
  })
  await narration.step('write and read during the outage', async () => {
    await api.createSecret('default', 'meanwhile', VALUES)
    expect((await storedV2(etcd, 'meanwhile')).keyId === keyId, 'it has another key id')
    expect((await api.getSecret('default', NAME))['password'] === VALUES.password, 'not readable')
    return 'both work, with the seed that the API server has'
  })
  await narration.step('reconnect Vault', async () => {
    await proxy.pass()
    await plugin.waitForHealth('ok')
    await eventually('the API server to be ready', async () => (await api.readyz()).status === 200)
    return 'the plugin is healthy and the API server ready again, without a restart'
  })
}

/** A step that returns what it started. */
async function start<T>(what: string, work: () => Promise<readonly [T, string]>): Promise<T> {
  const made: T[] = []
  await narration.step(what, async () => {
    const [thing, seen] = await work()
    made.push(thing)
    return seen
  })
  const [thing] = made
  expect(thing !== undefined, `${what}: nothing was started`)
  return thing
}

async function showStored(etcd: Etcd): Promise<void> {
  const key = `${SECRETS}default/${NAME}`
  const value = await etcd.get(key)
  expect(value !== undefined, `etcd has no ${key}`)
  narration.say(`    ${key} (${parseStored(value).format}, ${String(value.length)} bytes):`)
  const tailStart = Math.max(HEAD, 16 * Math.floor((value.length - TAIL) / 16))
  show(hexdump(value, 0, HEAD))
  if (tailStart > HEAD) show(['…'])
  show(hexdump(value, tailStart, value.length))
}

function show(lines: Iterable<string>): void {
  for (const line of lines) narration.say(paint('dim', `    ${line}`))
}

function* hexdump(bytes: Buffer, from: number, to: number): Generator<string> {
  for (let offset = from; offset < to; offset += 16) {
    const row = bytes.subarray(offset, Math.min(offset + 16, to))
    const hex = (row.toString('hex').match(/../g) ?? []).join(' ').padEnd(47)
    const text = row.toString('latin1').replaceAll(/[^\x20-\x7e]/g, '.')
    yield `${offset.toString(16).padStart(4, '0')}  ${hex}  ${text}`
  }
}

await runDemonstration(demonstrate)
