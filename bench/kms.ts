// Speed of the KMS plugin compared with direct calls to Transit: npm run bench.
//
// Everything is real: OpenBao, the built program in its own process, gRPC over its unix socket. Baseline and
// plugin take turns in one run, so that a noisy machine affects both; each figure is the median of the rounds.
import { randomBytes } from 'node:crypto'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { encodeAssociatedData, makeAnnotations } from '../src/seed/annotations.ts'
import { KEY, KmsVault } from '../test/real/vault/kms-vault.ts'
import type { WrappedSeed } from '../test/real/program/kms-client.ts'
import { Plugin } from '../test/real/program/plugin.ts'
import { create, toBinary } from '@bufbuild/protobuf'
import { KeyManagementService } from '../src/gen/kms/v2/api_pb.ts'
import { DirectTransit } from './direct-transit.ts'
import { GrpcLoad } from './grpc-load.ts'
import { load, median, middle, type LoadResult } from './latency.ts'
import { readProcessorTime, readResidentMemory } from './process-figures.ts'
import { printTable, type Row } from './table.ts'

const ROUNDS = 5
const CALLERS = 64
const SINGLE_CALLS = 1_000
const CONCURRENT_CALLS = 6_000
const MEMORY_CALLS = 50_000
const STARTS = 10

const CONFIGURATION = { log: { level: 'info' } }

const KINDS = [
  'direct',
  'directAsRoot',
  'decrypt',
  'encrypt',
  'localDecrypt',
  'localEncrypt',
  'status',
] as const

type Kind = (typeof KINDS)[number]
type Measured = Record<Kind, LoadResult>
type Calls = Record<Kind, () => Promise<unknown>>

const vault = await KmsVault.start({ audit: false })
const plugin = await Plugin.start({ ...vault.configuration(), ...CONFIGURATION })
const localPlugin = await Plugin.start({
  ...vault.configuration(undefined, { localKeys: { enabled: true } }),
  ...CONFIGURATION,
})
const direct = new DirectTransit(vault.bao.address, await vault.login(), CALLERS)
const directAsRoot = new DirectTransit(vault.bao.address, vault.bao.rootToken, CALLERS)
try {
  await plugin.waitForHealth('ok')
  await localPlugin.waitForHealth('ok')
  const rows: Row[] = []
  const restMemory = await readResidentMemory(plugin.program.pid)
  const seed = await plugin.client.encrypt(randomBytes(32))
  const calls = await openCalls(seed, await localPlugin.client.encrypt(randomBytes(32)))
  await measureOnce(CALLERS, 2_000, calls)
  const one = await measure(1, SINGLE_CALLS, calls)
  const many = await measure(CALLERS, CONCURRENT_CALLS, calls)
  addLoadRows(rows, one, many)
  rows.push(...(await measureShares(calls.decrypt)))
  await load(CALLERS, MEMORY_CALLS, calls.decrypt)
  const loadedMemory = await readResidentMemory(plugin.program.pid)
  rows.push(...(await measureStarts()))
  rows.push(
    {
      what: 'memory at rest',
      value: `${restMemory.toFixed(0)} MiB`,
      target: '< 110 MiB',
      ok: restMemory < 110,
    },
    {
      what: `memory after ${MEMORY_CALLS.toLocaleString('en')} more calls`,
      value: `${loadedMemory.toFixed(0)} MiB`,
      target: '< 140 MiB',
      ok: loadedMemory < 140,
    },
  )
  printTable(rows)
} finally {
  await direct.close()
  await directAsRoot.close()
  await plugin.stop()
  await localPlugin.stop()
  await vault.stop()
}

/** The calls to measure, ready to be repeated. */
async function openCalls(wrapped: WrappedSeed, local: WrappedSeed): Promise<Calls> {
  const { method, typeName } = KeyManagementService
  const ciphertext = Buffer.from(wrapped.ciphertext).toString('latin1')
  const associatedData = encodeAssociatedData(makeAnnotations('test-cluster')).toString('base64')
  const open = async ({ socket }: Plugin, name: string, bytes: Uint8Array) => {
    const connection = await GrpcLoad.open(socket, `/${typeName}/${name}`, bytes)
    return () => connection.call()
  }
  const { input } = method.encrypt
  const encrypt = toBinary(input, create(input, { plaintext: randomBytes(32) }))
  const encodeDecrypt = (seed: WrappedSeed) =>
    toBinary(method.decrypt.input, create(method.decrypt.input, seed))
  return {
    direct: () => direct.decrypt(KEY, ciphertext, associatedData),
    directAsRoot: () => directAsRoot.decrypt(KEY, ciphertext, associatedData),
    status: await open(plugin, 'Status', new Uint8Array()),
    encrypt: await open(plugin, 'Encrypt', encrypt),
    decrypt: await open(plugin, 'Decrypt', encodeDecrypt(wrapped)),
    localEncrypt: await open(localPlugin, 'Encrypt', encrypt),
    localDecrypt: await open(localPlugin, 'Decrypt', encodeDecrypt(local)),
  }
}

async function measure(callers: number, count: number, calls: Calls): Promise<Measured> {
  const rounds: Measured[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    rounds.push(await measureOnce(callers, count, calls))
  }
  return mapKinds((kind) => middle(rounds.map((round) => round[kind])))
}

async function measureOnce(callers: number, count: number, calls: Calls): Promise<Measured> {
  const results = new Map<Kind, LoadResult>()
  for (const kind of KINDS)
    results.set(
      kind,
      await load(callers, kind === 'encrypt' ? Math.ceil(count / 4) : count, calls[kind]),
    )
  return mapKinds((kind) => {
    const result = results.get(kind)
    if (result === undefined) throw new Error(`${kind} was not measured`)
    return result
  })
}

function mapKinds<T>(map: (kind: Kind) => T): Record<Kind, T> {
  return Object.fromEntries(KINDS.map((kind) => [kind, map(kind)])) as Record<Kind, T>
}

function addLoadRows(rows: Row[], one: Measured, many: Measured): void {
  const milliseconds = (value: number) => `${value.toFixed(3)} ms`
  const rate = (value: number) => `${Math.round(value).toLocaleString('en')}/s`
  const against = (value: number, base: number, limit: string, ok: boolean) => ({
    ratio: (value / base).toFixed(2),
    target: limit,
    ok,
  })
  rows.push(
    { what: 'direct decrypt, 1 caller: p50', value: milliseconds(one.direct.p50) },
    { what: 'direct decrypt, 1 caller: p99', value: milliseconds(one.direct.p99) },
    {
      what: 'direct decrypt as root, without policies to check: p50',
      value: milliseconds(one.directAsRoot.p50),
      ratio: (one.directAsRoot.p50 / one.direct.p50).toFixed(2),
    },
    {
      what: 'Status, 1 caller: p50',
      value: milliseconds(one.status.p50),
      ...against(one.status.p50, one.direct.p50, '<= 1.0', one.status.p50 <= one.direct.p50),
    },
    {
      what: 'Decrypt, 1 caller: p50',
      value: milliseconds(one.decrypt.p50),
      ...against(one.decrypt.p50, one.direct.p50, '<= 3', one.decrypt.p50 <= 3 * one.direct.p50),
    },
    { what: 'Decrypt, 1 caller: p99', value: milliseconds(one.decrypt.p99) },
    { what: 'Encrypt, 1 caller: p50', value: milliseconds(one.encrypt.p50) },
    { what: `direct decrypts, ${CALLERS} callers`, value: rate(many.direct.perSecond) },
    {
      what: `direct decrypts as root, ${CALLERS} callers`,
      value: rate(many.directAsRoot.perSecond),
      ratio: (many.directAsRoot.perSecond / many.direct.perSecond).toFixed(2),
    },
    {
      what: `Decrypts, ${CALLERS} callers`,
      value: rate(many.decrypt.perSecond),
      ...against(
        many.decrypt.perSecond,
        many.direct.perSecond,
        '> 1.2',
        many.decrypt.perSecond > 1.2 * many.direct.perSecond,
      ),
    },
    { what: `Decrypts, ${CALLERS} callers: p99`, value: milliseconds(many.decrypt.p99) },
    { what: `Encrypts, ${CALLERS} callers`, value: rate(many.encrypt.perSecond) },
    ...(['localDecrypt', 'localEncrypt'] as const).flatMap((kind) => {
      const name = kind === 'localDecrypt' ? 'Decrypt' : 'Encrypt'
      return [
        {
          what: `${name} with local keys, 1 caller: p50`,
          value: milliseconds(one[kind].p50),
          ...against(
            one[kind].p50,
            one.direct.p50,
            '<= 0.5',
            one[kind].p50 <= 0.5 * one.direct.p50,
          ),
        },
        {
          what: `${name} with local keys, 1 caller: p99`,
          value: milliseconds(one[kind].p99),
        },
        {
          what: `${name}s with local keys, ${CALLERS} callers`,
          value: rate(many[kind].perSecond),
          ...against(
            many[kind].perSecond,
            many.direct.perSecond,
            '>= 4',
            many[kind].perSecond >= 4 * many.direct.perSecond,
          ),
        },
      ]
    }),
    { what: `Statuses, ${CALLERS} callers`, value: rate(many.status.perSecond) },
  )
}

/** How the time of a single Decrypt is spent, from the plugin's own histograms for the same calls. */
async function measureShares(decrypt: Calls['decrypt']): Promise<Row[]> {
  const before = await readSums()
  const processor = await readProcessorTime(plugin.program.pid)
  const result = await load(1, SINGLE_CALLS, decrypt)
  const busy = (await readProcessorTime(plugin.program.pid)) - processor
  const after = await readSums()
  const mean = 1000 / result.perSecond
  const inPlugin = ((after.kms - before.kms) / SINGLE_CALLS) * 1000
  const inVault = ((after.vault - before.vault) / SINGLE_CALLS) * 1000
  const part = (what: string, value: number): Row => ({
    what: `  ${what}`,
    value: `${value.toFixed(3)} ms`,
    ratio: (value / mean).toFixed(2),
  })
  return [
    { what: 'a single Decrypt: mean', value: `${mean.toFixed(3)} ms`, ratio: '1.00' },
    part('request to Vault and its response', inVault),
    part('checks, encoding, batching in the plugin', inPlugin - inVault),
    part('gRPC on both sides and the socket', mean - inPlugin),
    part('CPU time of the plugin', (busy / SINGLE_CALLS) * 1000),
  ]
}

async function readSums(): Promise<{ kms: number; vault: number }> {
  // Scrapes within a second get the same text, so wait for the next second.
  await new Promise((resolve) => setTimeout(resolve, 1_100))
  const { text } = await plugin.admin('/metrics')
  const sum = (name: string, label: string) =>
    text
      .split('\n')
      .filter((line) => line.startsWith(`transit_bridge_${name}_sum{`) && line.includes(label))
      .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' '))), 0)
  return {
    kms: sum('kms_request_duration_seconds', 'method="Decrypt"'),
    vault: sum('vault_request_duration_seconds', 'operation="decrypt"'),
  }
}

/** From exec to the first Status response, as an API server that waits for the socket sees it. */
async function measureStarts(): Promise<Row[]> {
  const times: number[] = []
  for (let start = 0; start <= STARTS; start += 1) {
    const startedAt = performance.now()
    const fresh = await Plugin.launch({ ...vault.configuration(), ...CONFIGURATION })
    await firstStatus(fresh)
    // The first start after an installation fills the compile cache.
    if (start > 0) times.push(performance.now() - startedAt)
    await fresh.stop()
    rmSync(join(fresh.folder, 'kms.sock'), { force: true })
  }
  const value = median(times)
  return [
    {
      what: `start to first Status, median of ${STARTS}`,
      value: `${value.toFixed(0)} ms`,
      target: '< 250 ms',
      ok: value < 250,
    },
  ]
}

async function firstStatus(fresh: Plugin): Promise<void> {
  await fresh.program.waitForSocket(fresh.socket, { intervalMs: 2 })
  await fresh.client.status()
}
