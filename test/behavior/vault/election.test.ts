import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'tap'
import { Balancer } from '../../real/faults/balancer.ts'
import type { OpenBao } from '../../real/vault/openbao.ts'
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
const plugin = await Plugin.start({
  ...vault.configuration(balancer.address),
  kms: { refreshInterval: '1s', decryptCache: { enabled: true } },
})
await plugin.waitForHealth('ok')

interface Watched {
  /** Every healthz that was not ok. */
  readonly unhealthy: Set<string>
  /** Why Decrypts of a cached seed failed. */
  readonly undecrypted: Set<string>
  statuses: number
}

/** Asks for Status, a new Encrypt and a Decrypt from the cache, over and over, while `work` runs. */
async function watching(work: () => Promise<void>): Promise<Watched> {
  const seed = newSeed()
  const wrapped = await plugin.client.encrypt(seed)
  await plugin.client.decrypt(wrapped)
  const watched: Watched = { unhealthy: new Set(), undecrypted: new Set(), statuses: 0 }
  const end = new AbortController()
  const look = async () => {
    while (!end.signal.aborted) {
      const { healthz } = await plugin.client.status()
      watched.statuses += 1
      if (healthz !== 'ok') watched.unhealthy.add(healthz)
      await plugin.client.decrypt(wrapped).catch((error: unknown) => {
        watched.undecrypted.add(String(error))
      })
      await sleep(20)
    }
  }
  const encrypt = async () => {
    while (!end.signal.aborted) {
      await plugin.client.encrypt(newSeed()).catch(() => undefined)
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
async function recovered(former: OpenBao): Promise<void> {
  await eventually('another leader', async () => (await cluster.leader()) !== former, {
    timeoutMs: 60_000,
  })
  await eventually(
    'an Encrypt that works',
    async () => (await plugin.client.encrypt(newSeed())).ciphertext.length > 0,
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

void test('everything that was started is stopped', async (t) => {
  t.equal(await plugin.stop(), 0)
  await balancer.stop()
  await cluster.stop()
})
