// Demonstrates the main job: npm run demo.
//
// A real OpenBao (or the vault on PATH) and the built plugin; this script acts as kube-apiserver does on the
// plugin's socket. Everything runs on 127.0.0.1 and in temporary folders, which are removed at the end.
import { randomBytes } from 'node:crypto'
import { KmsCallError, type WrappedSeed } from '../test/real/program/kms-client.ts'
import { KEY, KmsVault } from '../test/real/vault/kms-vault.ts'
import { Plugin } from '../test/real/program/plugin.ts'
import { TcpProxy } from '../test/real/faults/tcp-proxy.ts'
import { rotateKey } from '../test/real/vault/transit-setup.ts'
import { expect, Narration, paint, runDemonstration, shorten } from './narration.ts'

const SEEDS = 50
const REFRESH_INTERVAL = '2s'
const OUTAGE_GRACE = '1s'
const CALLER_TIMEOUT = 1_000

const narration = new Narration()

/** Runs the whole demonstration and stops everything it started, even if it fails. */
async function demonstrate(): Promise<void> {
  narration.say(paint('bold', 'transit-bridge: the KMS plugin of a Kubernetes cluster, on Transit'))
  await using stack = new AsyncDisposableStack()
  const vault = await startVault(stack)
  const proxy = await TcpProxy.start(vault.bao.address)
  stack.defer(() => proxy.stop())
  const plugin = await startPlugin(vault, proxy, stack)
  const seeds = await wrapSeeds(plugin)
  await rotate(vault, plugin, seeds)
  await loseVault(vault, proxy, plugin, seeds)
  await stopPlugin(plugin)
}

async function startVault(stack: AsyncDisposableStack): Promise<KmsVault> {
  let started: KmsVault | undefined
  await narration.step('start a real OpenBao, with a key, a policy and a JWT login', async () => {
    const vault = await KmsVault.start()
    stack.defer(() => vault.stop())
    started = vault
    return `transit key ${KEY}, vault-policies/kms.hcl, role bound to one service account`
  })
  expect(started !== undefined, 'OpenBao did not start')
  return started
}

async function startPlugin(
  vault: KmsVault,
  proxy: TcpProxy,
  stack: AsyncDisposableStack,
): Promise<Plugin> {
  let started: Plugin | undefined
  await narration.step(
    'start the built plugin (bin/transit-bridge kms --config FILE)',
    async () => {
      const plugin = await Plugin.start(
        vault.configuration(proxy.address, {
          refreshInterval: REFRESH_INTERVAL,
          outageGrace: OUTAGE_GRACE,
        }),
      )
      stack.defer(async () => void (await plugin.stop()))
      started = plugin
      await plugin.waitForHealth('ok')
      return `logged in with a service-account token, Status is ok on ${plugin.socket}`
    },
  )
  expect(started !== undefined, 'the plugin did not start')
  return started
}

type Seed = { readonly plaintext: Buffer; readonly wrapped: WrappedSeed }

async function wrapSeeds(plugin: Plugin): Promise<Seed[]> {
  const seeds: Seed[] = []
  await narration.step('call Status, as the API server does', async () => {
    const status = await plugin.client.status()
    expect(status.healthz === 'ok', `healthz is "${status.healthz}"`)
    return `version ${status.version}, key id ${shorten(status.keyId)}`
  })
  await narration.step(`encrypt ${String(SEEDS)} DEK seeds`, async () => {
    const startedAt = performance.now()
    for (let count = 0; count < SEEDS; count += 1) seeds.push(await wrapSeed(plugin))
    const [first] = seeds
    const text = Buffer.from(first?.wrapped.ciphertext ?? []).toString('latin1')
    return `${perCall(startedAt, SEEDS)} each; etcd would store "${text.slice(0, 24)}…"`
  })
  await narration.step('decrypt them, one after the other', async () => {
    const startedAt = performance.now()
    for (const seed of seeds) await expectReadable(plugin, seed)
    return `all ${String(SEEDS)} match, ${perCall(startedAt, SEEDS)} each`
  })
  await narration.step('decrypt all at once, like an API server on a cold start', async () => {
    const mark = performance.now()
    await Promise.all(seeds.map((seed) => expectReadable(plugin, seed)))
    return `${String(SEEDS)} in ${(performance.now() - mark).toFixed(1)} ms`
  })
  await narration.step('decrypt one with changed annotations', async () => {
    const [first] = seeds
    expect(first !== undefined, 'no seed was encrypted')
    const annotations = {
      ...first.wrapped.annotations,
      'cluster.transit-bridge.internal': Buffer.from('elsewhere'),
    }
    const code = await codeOf(plugin.client.decrypt({ ...first.wrapped, annotations }))
    expect(code === 'FAILED_PRECONDITION', `the plugin returned ${code}`)
    return `refused with ${code}, without a request to Vault`
  })
  return seeds
}

async function rotate(vault: KmsVault, plugin: Plugin, seeds: Seed[]): Promise<void> {
  await narration.step('rotate the key in Transit', async () => {
    const before = (await plugin.client.status()).keyId
    const startedAt = performance.now()
    await rotateKey(vault.bao, KEY)
    await plugin.program.waitUntil(
      'a new key id',
      async () => (await plugin.client.status()).keyId !== before,
    )
    const { keyId } = await plugin.client.status()
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
    return `Status announces ${shorten(keyId)} after ${seconds} s (refreshInterval ${REFRESH_INTERVAL})`
  })
  await narration.step('decrypt the old seeds and encrypt a new one', async () => {
    for (const seed of seeds) await expectReadable(plugin, seed)
    const fresh = await wrapSeed(plugin)
    await expectReadable(plugin, fresh)
    seeds.push(fresh)
    const text = Buffer.from(fresh.wrapped.ciphertext).toString('latin1')
    expect(text.startsWith('vault:v2:'), 'the new seed is not encrypted with version 2')
    return `old data is readable, new data is "${text.slice(0, 9)}…"`
  })
}

async function loseVault(
  vault: KmsVault,
  proxy: TcpProxy,
  plugin: Plugin,
  seeds: readonly Seed[],
): Promise<void> {
  await narration.step('disconnect Vault (connections hang)', async () => {
    await proxy.hang()
    const startedAt = performance.now()
    const call = plugin.client.encrypt(randomBytes(32), { timeout: CALLER_TIMEOUT })
    const statusAt = performance.now()
    await plugin.client.status()
    const statusTime = (performance.now() - statusAt).toFixed(1)
    const code = await codeOf(call)
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(2)
    return `Encrypt fails with ${code} after ${seconds} s, its caller's deadline; Status still answers in ${statusTime} ms`
  })
  await narration.step(`wait for the end of the grace (outageGrace ${OUTAGE_GRACE})`, async () => {
    await plugin.waitForHealth(/vault/)
    const status = await plugin.client.status()
    return `healthz is "${status.healthz}", the key id is still ${shorten(status.keyId)}`
  })
  await narration.step('kill OpenBao, restart it and reconnect', async () => {
    await vault.bao.kill()
    await vault.bao.restart()
    const startedAt = performance.now()
    await proxy.pass()
    await plugin.waitForHealth('ok')
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
    for (const seed of seeds) await expectReadable(plugin, seed)
    return `healthy again after ${seconds} s, everything is readable`
  })
}

async function stopPlugin(plugin: Plugin): Promise<void> {
  await narration.step('stop the plugin (SIGTERM)', async () => {
    const code = await plugin.stop()
    expect(code === 0, `its exit code is ${String(code)}`)
    return 'Vault token revoked, socket removed, exit code 0'
  })
}

async function wrapSeed(plugin: Plugin): Promise<Seed> {
  const plaintext = randomBytes(32)
  return { plaintext, wrapped: await plugin.client.encrypt(plaintext) }
}

async function expectReadable(plugin: Plugin, { plaintext, wrapped }: Seed): Promise<void> {
  const read = await plugin.client.decrypt(wrapped)
  expect(read.equals(plaintext), 'a decrypted seed differs from the original')
}

async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call
    return 'OK'
  } catch (error) {
    if (error instanceof KmsCallError) return error.code
    throw error
  }
}

function perCall(startedAt: number, calls: number): string {
  return `${((performance.now() - startedAt) / calls).toFixed(2)} ms`
}

await runDemonstration(demonstrate)
