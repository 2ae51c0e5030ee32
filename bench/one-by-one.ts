// How long Decrypts take that an API server sends one by one after a start of the host: npm run bench:one-by-one [-- --peer PATH].
//
// Everything is real: OpenBao with an audit file, the built program and a client with kube-apiserver's gRPC library, which is built with
// Go. Each series of calls has a new process of the plugin, because the first hundreds of calls of a process are slower. Direct calls,
// the program and the peer take turns; each figure is the median of the rounds.
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'

import { encodeAssociatedData, makeAnnotations } from '../src/seed/annotations.ts'
import type { WrappedSeed } from '../test/real/program/kms-client.ts'
import { Plugin } from '../test/real/program/plugin.ts'
import { KEY, KmsVault } from '../test/real/vault/kms-vault.ts'
import { DirectTransit } from './direct-transit.ts'
import { decryptWithGo } from './go-client.ts'
import { PeerPlugin } from './kms/peer-plugin.ts'
import { load, median } from './latency.ts'
import { SlowNetwork } from './slow-network.ts'
import { milliseconds, printTable, type Row } from './table.ts'

const ROUNDS = 5
/** How much of the time of the peer the program may take. */
const CASES = [
  { seeds: 500, delayMs: 0, maxRatio: 0.95 },
  { seeds: 200, delayMs: 5, maxRatio: 1 },
] as const

/** Seeds that another process encrypted, by direct requests or the program, and by the peer. */
type Seeds = { readonly own: readonly WrappedSeed[]; readonly peer: readonly WrappedSeed[] }

const { peer: binary } = parseArgs({ options: { peer: { type: 'string' } } }).values
const vault = await KmsVault.start({ audit: true })
try {
  const seeds = await makeSeeds(Math.max(...CASES.map((each) => each.seeds)))
  const rows: Row[] = []
  for (const each of CASES) rows.push(...(await measure(each, seeds)))
  printTable(rows)
  process.exitCode = rows.some(({ ok }) => ok === false) ? 1 : 0
} finally {
  await vault.stop()
}

async function measure(
  { seeds: count, delayMs, maxRatio }: (typeof CASES)[number],
  seeds: Seeds,
): Promise<Row[]> {
  const network = delayMs === 0 ? undefined : await SlowNetwork.start(vault.bao.address, delayMs)
  const address = network?.address ?? vault.bao.address
  const times: Record<'direct' | 'own' | 'peer', number[]> = { direct: [], own: [], peer: [] }
  try {
    for (let round = 0; round < ROUNDS; round += 1) {
      times.direct.push(await measureDirect(address, seeds.own.slice(0, count)))
      times.own.push(await measureProgram(address, seeds.own.slice(0, count)))
      if (binary !== undefined)
        times.peer.push(await measurePeer(binary, address, seeds.peer.slice(0, count)))
    }
  } finally {
    await network?.stop()
  }
  const [direct, own, peer] = [times.direct, times.own, times.peer].map(median) as [
    number,
    number,
    number,
  ]
  const where = delayMs === 0 ? '' : `, ${String(delayMs)} ms to Vault`
  const row = (who: string, value: number): Row => ({
    what: `${String(count)} DEK seeds one by one${where}, ${who}: each`,
    value: milliseconds(value),
    ratio: value / direct,
  })
  const goal = { target: `<= ${String(maxRatio)} x the peer`, ok: own <= maxRatio * peer }
  return [
    row('direct decrypts', direct),
    { ...row('transit-bridge', own), ...(binary === undefined ? {} : goal) },
    ...(binary === undefined ? [] : [row('vault-kubernetes-kms', peer)]),
  ]
}

async function makeSeeds(count: number): Promise<Seeds> {
  const plugin = await startPlugin(vault.bao.address)
  const own = await encryptSeeds(count, plugin.client)
  await plugin.stop()
  if (binary === undefined) return { own, peer: [] }
  const peer = await PeerPlugin.start(binary, vault)
  const others = await encryptSeeds(count, peer.client)
  await peer.stop()
  return { own, peer: others }
}

async function encryptSeeds(count: number, client: Plugin['client']): Promise<WrappedSeed[]> {
  const seeds: WrappedSeed[] = []
  while (seeds.length < count) seeds.push(await client.encrypt(randomBytes(32)))
  return seeds
}

async function startPlugin(address: string): Promise<Plugin> {
  const plugin = await Plugin.start({ ...vault.configuration(address), log: { level: 'info' } })
  await plugin.waitForHealth('ok')
  return plugin
}

async function measureDirect(address: string, seeds: readonly WrappedSeed[]): Promise<number> {
  const direct = new DirectTransit(address, await vault.login(), 1)
  const associatedData = encodeAssociatedData(makeAnnotations('test-cluster')).toString('base64')
  const texts = seeds.map(({ ciphertext }) => Buffer.from(ciphertext).toString('latin1')).values()
  const decryptNext = () => direct.decrypt(KEY, texts.next().value ?? '', associatedData)
  try {
    return 1000 / (await load(1, seeds.length, decryptNext)).perSecond
  } finally {
    await direct.close()
  }
}

async function measureProgram(address: string, seeds: readonly WrappedSeed[]): Promise<number> {
  const plugin = await startPlugin(address)
  try {
    return await decryptWithGo(plugin.socket, seeds)
  } finally {
    await plugin.stop()
  }
}

async function measurePeer(
  path: string,
  address: string,
  seeds: readonly WrappedSeed[],
): Promise<number> {
  const peer = await PeerPlugin.start(path, vault, { address })
  try {
    return await decryptWithGo(peer.socket, seeds)
  } finally {
    await peer.stop()
  }
}
