// How long Decrypts take that an API server sends one by one after its start: npm run bench:one-by-one [-- --peer PATH].
//
// Everything is real: OpenBao with an audit file, the built program and a client with kube-apiserver's gRPC library, which is built with
// Go. Direct calls, the program and the peer take turns; each figure is the median of the rounds. Two cases: the host has started, so each
// series of calls has a new process of the plugin, whose first hundreds of calls are slower; and only the API server has, so all series
// have a process that was warm before.
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
/** After so many calls a process does not get faster (docs/performance-notes.md). */
const WARM_CALLS = 3_000
/** How much of the time of the peer the program may take, after a start of the host and with a plugin that kept running. */
const CASES = [
  { seeds: 500, delayMs: 0, isWarm: false, maxRatio: 0.95 },
  { seeds: 500, delayMs: 0, isWarm: true, maxRatio: 0.95 },
  { seeds: 200, delayMs: 5, isWarm: false, maxRatio: 1 },
  { seeds: 200, delayMs: 5, isWarm: true, maxRatio: 1 },
] as const

/** A process that serves the KMS API. */
type Server = { readonly socket: string; stop(): Promise<unknown> }
/** Measures one series of calls: the mean time of a call in milliseconds. */
type Subject = { measure(): Promise<number>; close(): Promise<unknown> }

/** Seeds that another process encrypted, by direct requests or the program, and by the peer. */
type Seeds = { readonly own: readonly WrappedSeed[]; readonly peer: readonly WrappedSeed[] }

const { peer: binary } = parseArgs({ options: { peer: { type: 'string' } } }).values
const vault = await KmsVault.start({ audit: true })
try {
  const seeds = await makeSeeds(Math.max(...CASES.map((each) => each.seeds)))
  const rows: Row[] = []
  for (const each of CASES) rows.push(...(await measureCase(each, seeds)))
  printTable(rows)
  process.exitCode = rows.some(({ ok }) => ok === false) ? 1 : 0
} finally {
  await vault.stop()
}

async function measureCase(each: (typeof CASES)[number], seeds: Seeds): Promise<Row[]> {
  const { seeds: count, delayMs, isWarm, maxRatio } = each
  await using ends = new AsyncDisposableStack()
  const network = delayMs === 0 ? undefined : await SlowNetwork.start(vault.bao.address, delayMs)
  ends.defer(async () => network?.stop())
  const address = network?.address ?? vault.bao.address
  const prepare = isWarm ? prepareWarm : prepareNew
  const subjects: Subject[] = []
  const add = (subject: Subject) => {
    ends.defer(async () => void (await subject.close()))
    subjects.push(subject)
  }
  add(await prepareDirect(address, seeds.own.slice(0, count)))
  add(await prepare(() => startPlugin(address), seeds.own.slice(0, count)))
  if (binary !== undefined) {
    const startPeer = () => PeerPlugin.start(binary, vault, { address })
    add(await prepare(startPeer, seeds.peer.slice(0, count)))
  }
  const [direct = NaN, own = NaN, peer] = await takeTurns(subjects)
  const state = isWarm ? 'warm process' : 'new process'
  const where = delayMs === 0 ? '' : `, ${String(delayMs)} ms to Vault`
  const row = (who: string, value: number): Row => ({
    what: `${String(count)} DEK seeds one by one${where}, ${who}: each`,
    value: milliseconds(value),
    ratio: value / direct,
  })
  const ours = row(`${state} of transit-bridge`, own)
  if (peer === undefined) return [row('direct decrypts', direct), ours]
  const goal = { target: `<= ${String(maxRatio)} x the peer`, ok: own <= maxRatio * peer }
  const theirs = row(`${state} of vault-kubernetes-kms`, peer)
  return [row('direct decrypts', direct), { ...ours, ...goal }, theirs]
}

/** The median of the rounds for each. */
async function takeTurns(subjects: readonly Subject[]): Promise<number[]> {
  const times = subjects.map((): number[] => [])
  for (let round = 0; round < ROUNDS; round += 1) {
    for (const [index, subject] of subjects.entries()) times[index]?.push(await subject.measure())
  }
  return times.map(median)
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

async function prepareDirect(address: string, seeds: readonly WrappedSeed[]): Promise<Subject> {
  const direct = new DirectTransit(address, await vault.login(), 1)
  const associatedData = encodeAssociatedData(makeAnnotations('test-cluster')).toString('base64')
  return {
    measure: async () => {
      const texts = seeds
        .map(({ ciphertext }) => Buffer.from(ciphertext).toString('latin1'))
        .values()
      const decryptNext = () => direct.decrypt(KEY, texts.next().value ?? '', associatedData)
      return 1000 / (await load(1, seeds.length, decryptNext)).perSecond
    },
    close: () => direct.close(),
  }
}

/** Each series has a process of its own. */
function prepareNew(start: () => Promise<Server>, seeds: readonly WrappedSeed[]): Promise<Subject> {
  const measure = async () => {
    const server = await start()
    try {
      return await decryptWithGo(server.socket, seeds)
    } finally {
      await server.stop()
    }
  }
  return Promise.resolve({ measure, close: () => Promise.resolve() })
}

/** All series have one process, which has answered enough calls before. */
async function prepareWarm(
  start: () => Promise<Server>,
  seeds: readonly WrappedSeed[],
): Promise<Subject> {
  const server = await start()
  try {
    for (let calls = 0; calls < WARM_CALLS; calls += seeds.length)
      await decryptWithGo(server.socket, seeds)
  } catch (error) {
    await server.stop()
    throw error
  }
  return { measure: () => decryptWithGo(server.socket, seeds), close: () => server.stop() }
}
