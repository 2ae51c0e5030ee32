import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { Balancer } from '../../real/faults/balancer.ts'
import { HttpProxy } from '../../real/faults/http-proxy.ts'
import { OpenBao } from '../../real/vault/openbao.ts'
import { OpenBaoCluster } from '../../real/vault/openbao-cluster.ts'
import { KmsVault } from '../../real/vault/kms-vault.ts'
import { Plugin } from '../../real/program/plugin.ts'
import { linesSaying, newSeed } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

/**
 * Three OpenBao members behind one address. A standby whose leader is gone redirects to it (307), or says that it
 * cannot forward; neither is a refusal.
 */
const cluster = await OpenBaoCluster.start()
const balancer = await Balancer.start(cluster.addresses)
// The tokens are short-lived, so that logins fall into the elections, too.
const vault = await KmsVault.start({ bao: await cluster.leader(), ttl: '4s' })
const plugin = await startPlugin(balancer.address)

async function startPlugin(address: string | string[]): Promise<Plugin> {
  const started = await Plugin.start({
    ...vault.configuration(address),
    kms: { refreshInterval: '1s', decryptCache: { enabled: true } },
  })
  await started.waitForHealth('ok')
  return started
}

interface Watched {
  /** Every healthz that was not ok. */
  readonly unhealthy: Set<string>
  /** Why Decrypts of a cached seed failed. */
  readonly undecrypted: Set<string>
  statuses: number
}

/** Asks for Status, a new Encrypt and a Decrypt from the cache, over and over, while `work` runs. */
async function watching(work: () => Promise<void>, watchedPlugin = plugin): Promise<Watched> {
  const { client } = watchedPlugin
  const seed = newSeed()
  const wrapped = await client.encrypt(seed)
  await client.decrypt(wrapped)
  const watched: Watched = { unhealthy: new Set(), undecrypted: new Set(), statuses: 0 }
  const end = new AbortController()
  const look = async () => {
    while (!end.signal.aborted) {
      const { healthz } = await client.status()
      watched.statuses += 1
      if (healthz !== 'ok') watched.unhealthy.add(healthz)
      await client.decrypt(wrapped).catch((error: unknown) => {
        watched.undecrypted.add(String(error))
      })
      await sleep(20)
    }
  }
  const encrypt = async () => {
    while (!end.signal.aborted) {
      await client.encrypt(newSeed()).catch(() => undefined)
      await sleep(20)
    }
  }
  const loops = [look(), encrypt()]
  try {
    await work()
  } finally {
    end.abort()
    await Promise.all(loops)
  }
  return watched
}

/** Vault answers again: a new leader, and the plugin encrypts under it. */
async function recovered(former: OpenBao, { client } = plugin): Promise<void> {
  await eventually('another leader', async () => (await cluster.leader()) !== former, {
    timeoutMs: 60_000,
  })
  await eventually(
    'an Encrypt that works',
    async () => (await client.encrypt(newSeed())).ciphertext.length > 0,
    { timeoutMs: 60_000 },
  )
}

void test('while a killed leader is replaced, Status stays ok and cached seeds are decrypted', async (t) => {
  const leader = await cluster.leader()
  const watched = await watching(async () => {
    await leader.kill()
    await recovered(leader)
  })
  t.strictSame([...watched.unhealthy], [])
  t.strictSame([...watched.undecrypted], [])
  t.ok(watched.statuses > 0)
  await leader.restart()
})

void test('the same when the leader steps down', async (t) => {
  const leader = await cluster.leader()
  const watched = await watching(async () => {
    await cluster.stepDown()
    await recovered(leader)
  })
  t.strictSame([...watched.unhealthy], [])
  t.strictSame([...watched.undecrypted], [])
})

void test('while there is no leader at all, two standbys answer: an outage, in its grace', async (t) => {
  const leader = await cluster.leader()
  const [standby] = await cluster.standbys()
  if (standby === undefined) throw new Error('no standby')
  const watched = await watching(async () => {
    await leader.kill()
    await standby.kill()
    await eventually('the outage in the log', () =>
      ['Vault does not answer', 'unhealthy'].some((words) => linesSaying(plugin, words).length > 0),
    )
    await plugin.client.status()
    await leader.restart()
    await standby.restart()
    await cluster.leader()
    await eventually(
      'an Encrypt that works',
      async () => {
        return (await plugin.client.encrypt(newSeed())).ciphertext.length > 0
      },
      { timeoutMs: 60_000 },
    )
  })
  t.strictSame([...watched.unhealthy], [])
  t.strictSame([...watched.undecrypted], [])
})

void test('the same with a second address that leads to another Vault', async (t) => {
  const other = await KmsVault.start({ bao: await OpenBao.start({ fresh: true }) })
  t.teardown(() => other.stop())
  const both = await startPlugin([balancer.address, other.bao.address])
  const { keyId } = await both.client.encrypt(newSeed())
  const leader = await cluster.leader()
  const watched = await watching(async () => {
    await leader.kill()
    await recovered(leader, both)
  }, both)
  t.strictSame([...watched.unhealthy], [])
  t.strictSame([...watched.undecrypted], [])
  t.equal((await both.client.encrypt(newSeed())).keyId, keyId)
  await leader.restart()
  t.equal(await both.stop(), 0)
})

void test('the same when a gateway in front of the cluster denies meanwhile', async (t) => {
  const gateway = await HttpProxy.start(balancer.address)
  t.teardown(() => gateway.stop())
  const behind = await startPlugin(gateway.address)
  const leader = await cluster.leader()
  const watched = await watching(async () => {
    await leader.kill()
    gateway.respond({ status: 403, body: { message: 'no healthy upstream' } })
    await eventually('the outage in the log', () =>
      ['Vault does not answer', 'unhealthy'].some((words) => linesSaying(behind, words).length > 0),
    )
    await eventually('another leader', async () => (await cluster.leader()) !== leader, {
      timeoutMs: 60_000,
    })
    gateway.clear()
    await recovered(leader, behind)
  }, behind)
  t.strictSame([...watched.unhealthy], [])
  t.strictSame([...watched.undecrypted], [])
  await leader.restart()
  t.equal(await behind.stop(), 0)
})

void test('no call fails while one member behind the address is sealed, or hangs', async (t) => {
  const [standby] = await cluster.standbys()
  if (standby === undefined) throw new Error('no standby')
  const leader = await cluster.leader()
  const encryptAll = () =>
    Promise.all(
      Array.from({ length: 8 }, () => plugin.client.encrypt(newSeed(), { timeout: 20_000 })),
    )
  await standby.restart({ sealed: true })
  balancer.use([standby.address, leader.address])
  t.equal((await encryptAll()).length, 8)
  await standby.unseal()
  // The other standby answers the leader, which needs one of the two.
  standby.pause()
  balancer.use([standby.address, leader.address])
  t.equal((await encryptAll()).length, 8)
  standby.resume()
  balancer.use(cluster.addresses)
})

void test('everything that was started is stopped', async (t) => {
  t.equal(await plugin.stop(), 0)
  await balancer.stop()
  await cluster.stop()
})
