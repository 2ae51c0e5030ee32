// Compares run-time sockets with direct calls to Transit, and measures Mounts while the sockets are under load:
// npm run bench:runtime.
//
// Everything is real: OpenBao with its audit file, and the built program in its own process. The volumes are published over
// gRPC as the kubelet does. Sockets and direct calls take turns, each with the same number of callers and with Vault tokens
// from the same logins, on the same two cores. An argument changes the seconds of a round.
import { create, toBinary } from '@bufbuild/protobuf'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Pool } from 'undici'

import { CSIDriverProvider } from '../src/gen/csi/v1alpha1/service_pb.ts'
import { newPod, PodVault, ROLE, type Pod } from '../test/csi/pod-vault.ts'
import { DRIVER, Kubelet, RUNTIME_POLICY } from '../test/csi/runtime/fixture.ts'
import { tempFolder } from '../test/real/host/temp-folder.ts'
import { Provider } from '../test/real/program/provider.ts'
import { GrpcLoad } from './grpc-load.ts'
import { Latencies, median, middle, type LoadResult } from './latency.ts'
import { readProcessorTime, readResidentMemory } from './process-figures.ts'
import { printTable, type Row } from './table.ts'

const PODS = 10
const CALLERS_OF_A_POD = 4
const ROUNDS = 5
const ROUND_MS = Number(process.argv[2] ?? 3) * 1000
const WARM_UP_MS = 2_000
/** The kubelet republishes a volume every 60 to 90 s. */
const IDLE_VOLUMES = 100
const IDLE_MS = 60_000

/** One request, to any of the pods. */
type Send = (pod: number) => Promise<void>

interface Work {
  readonly name: string
  readonly path: string
  readonly body: string
}

const INPUT = Buffer.from('0123456789abcdef0123456789abcdef').toString('base64')
const WORKS: readonly Work[] = [
  { name: 'sign', path: '/v1/transit/sign/app-signing', body: JSON.stringify({ input: INPUT }) },
  {
    name: 'encrypt',
    path: '/v1/transit/encrypt/app-data',
    body: JSON.stringify({ plaintext: INPUT }),
  },
]

const vault = await PodVault.start()
const folder = tempFolder('rt')
const rows: Row[] = []
try {
  await vault.enableRole(ROLE, RUNTIME_POLICY)
  await vault.makeKey('app-signing', 'ecdsa-p256')
  await vault.makeKey('app-data')
  const provider = await startProvider()
  const kubelet = new Kubelet(vault, join(folder, 'csi.sock'), folder)
  try {
    await measureIdle(kubelet)
    await measureLoad(provider, kubelet)
    await measureFlood(provider, kubelet)
    printTable(rows)
  } finally {
    kubelet.close()
    await provider.stop()
  }
} finally {
  await vault.stop()
}

function startProvider(): Promise<Provider> {
  const operations = ['sign', 'encrypt']
  return Provider.start(tempFolder('providers'), {
    vault: { address: vault.bao.address },
    csi: {
      audience: 'vault',
      refreshInterval: '30s',
      rules: [
        {
          namespaces: ['shop'],
          serviceAccounts: ['*'],
          roles: [ROLE],
          keys: ['app-*'],
          types: ['publicKey'],
          operations,
        },
      ],
      runtime: {
        enabled: true,
        driverName: DRIVER,
        socket: join(folder, 'csi.sock'),
        registrationSocket: join(folder, 'reg.sock'),
        stateFolder: join(folder, 's'),
        nodeName: 'node-1',
        maxRequestsPerSecond: 100_000,
      },
    },
    log: { level: 'info' },
  })
}

/** Counts the requests to Vault for volumes that no pod uses, while the kubelet republishes them. */
async function measureIdle(kubelet: Kubelet): Promise<void> {
  const pods = makePods(IDLE_VOLUMES)
  const start = vault.bao.auditMark()
  const tokens = await Promise.all(pods.map((pod) => vault.tokens(pod)))
  const publish = async () => {
    for (const [index, pod] of pods.entries()) {
      const attributes = { 'csi.storage.k8s.io/serviceAccount.tokens': tokens[index] }
      await kubelet.publish(pod, { attributes })
    }
  }
  await publish()
  const logins = countRequests(start)
  const since = vault.bao.auditMark()
  const startedAt = performance.now()
  await publish()
  await sleep(Math.max(0, startedAt + IDLE_MS - performance.now()))
  const requests = countRequests(since)
  for (const pod of pods) await kubelet.unpublish(pod)
  rows.push(
    {
      what: `requests to Vault for the start of ${IDLE_VOLUMES} volumes`,
      value: String(logins),
      target: `<= ${IDLE_VOLUMES}`,
      ok: logins <= IDLE_VOLUMES,
    },
    {
      what: `requests to Vault of ${IDLE_VOLUMES} idle volumes in a minute, with a republish of each`,
      value: String(requests),
      target: '0',
      ok: requests === 0,
    },
  )
}

/** Requests without those of the benchmark itself. */
function countRequests(since: number): number {
  return vault.bao.auditRequests({ since }).filter(({ displayName }) => displayName !== 'root')
    .length
}

async function measureLoad(provider: Provider, kubelet: Kubelet): Promise<void> {
  const pods = makePods(PODS)
  const sockets: Pool[] = []
  for (const pod of pods) {
    const { path } = await kubelet.publish(pod)
    const connect = { socketPath: path }
    sockets.push(new Pool('http://vault', { connect, connections: CALLERS_OF_A_POD }))
  }
  const direct = new Pool(vault.bao.address, { connections: PODS * CALLERS_OF_A_POD })
  const tokens = await Promise.all(pods.map(logIn))
  const files = await openFiles(provider)
  const { pid } = provider.program
  try {
    for (const work of WORKS) {
      const bySocket: Send = (pod) => send(sockets[pod], work, {})
      const byHand: Send = (pod) => send(direct, work, { 'x-vault-token': tokens[pod] ?? '' })
      await run(WARM_UP_MS, byHand)
      await run(WARM_UP_MS, bySocket)
      const results = { byHand: [] as LoadResult[], bySocket: [] as LoadResult[] }
      const costs: number[] = []
      for (let round = 0; round < ROUNDS; round += 1) {
        results.byHand.push(await run(ROUND_MS, byHand))
        const before = await readProcessorTime(pid)
        const result = await run(ROUND_MS, bySocket)
        const seconds = (await readProcessorTime(pid)) - before
        costs.push((seconds * 1000) / (result.perSecond * (ROUND_MS / 1000)))
        results.bySocket.push(result)
      }
      addLoadRows(work.name, middle(results.byHand), middle(results.bySocket), median(costs))
    }
    await measureFiles(files, (pod) => send(sockets[pod], WORKS[0] as Work, {}))
    rows.push({
      what: 'memory of the provider afterwards',
      value: `${(await readResidentMemory(pid)).toFixed(0)} MiB`,
    })
  } finally {
    files.close()
    await Promise.all([...sockets, direct].map((pool) => pool.close()))
  }
}

/** Mounts and another pod while one pod sends packets full of requests. */
async function measureFlood(provider: Provider, kubelet: Kubelet): Promise<void> {
  const hostile = await kubelet.publish(newPod())
  const { path } = await kubelet.publish(newPod())
  const other = new Pool('http://vault', { connect: { socketPath: path }, connections: 1 })
  const files = await openFiles(provider)
  const flood = spawn(process.execPath, [
    join(import.meta.dirname, 'packet-flood.ts'),
    hostile.path,
  ])
  try {
    await sleep(WARM_UP_MS)
    const [mounts, requests] = await Promise.all([
      callFor(ROUND_MS, () => files.call()),
      callFor(ROUND_MS, () => send(other, WORKS[0] as Work, {})),
    ])
    const memory = await readResidentMemory(provider.program.pid)
    rows.push(
      {
        what: 'unchanged Mount, a pod sends packets full of requests: p99',
        value: milliseconds(mounts.p99),
        target: '< 1 s',
        ok: mounts.p99 < 1_000,
      },
      {
        what: 'sign of another pod, at the same time: p99',
        value: milliseconds(requests.p99),
        target: '< 1 s',
        ok: requests.p99 < 1_000,
      },
      { what: 'memory of the provider, at the same time', value: `${memory.toFixed(0)} MiB` },
    )
  } finally {
    flood.kill()
    await once(flood, 'exit')
    files.close()
    await other.close()
  }
}

function addLoadRows(name: string, byHand: LoadResult, bySocket: LoadResult, cost: number): void {
  const callers = `${PODS} pods x ${CALLERS_OF_A_POD} callers`
  const share = bySocket.perSecond / byHand.perSecond
  rows.push(
    { what: `direct ${name}, ${callers}`, value: rate(byHand.perSecond), ratio: '1.00' },
    { what: `direct ${name}, ${callers}: p99`, value: milliseconds(byHand.p99) },
    {
      what: `${name} through the sockets, ${callers}`,
      value: rate(bySocket.perSecond),
      ratio: share.toFixed(2),
      target: '>= 0.5',
      ok: share >= 0.5,
    },
    {
      what: `${name} through the sockets, ${callers}: p99`,
      value: milliseconds(bySocket.p99),
      ratio: (bySocket.p99 / byHand.p99).toFixed(2),
    },
    { what: `${name} through a socket: CPU time of the driver`, value: milliseconds(cost) },
  )
}

/** An unchanged Mount of files, which shares the process and the connections to Vault with the sockets. */
async function measureFiles(files: GrpcLoad, busy: Send): Promise<void> {
  const idle: LoadResult[] = []
  const loaded: LoadResult[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    idle.push(await callFor(ROUND_MS, () => files.call()))
    const load = run(ROUND_MS + 1_000, busy)
    await sleep(500)
    loaded.push(await callFor(ROUND_MS, () => files.call()))
    await load
  }
  const [alone, beside] = [middle(idle), middle(loaded)]
  const against = (value: number) => (value / alone.p50).toFixed(2)
  rows.push(
    { what: 'unchanged Mount, sockets idle: p50', value: milliseconds(alone.p50), ratio: '1.00' },
    { what: 'unchanged Mount, sockets idle: p99', value: milliseconds(alone.p99) },
    {
      what: 'unchanged Mount, sockets at full load: p50',
      value: milliseconds(beside.p50),
      ratio: against(beside.p50),
      target: '< 20 ms',
      ok: beside.p50 < 20,
    },
    {
      what: 'unchanged Mount, sockets at full load: p99',
      value: milliseconds(beside.p99),
      target: '< 1 s',
      ok: beside.p99 < 1_000,
    },
  )
}

/** All callers of all pods, for a time. */
async function run(timeMs: number, ask: Send): Promise<LoadResult> {
  const results = await Promise.all(
    Array.from({ length: PODS * CALLERS_OF_A_POD }, (_none, caller) => caller % PODS).map((pod) =>
      collect(timeMs, () => ask(pod)),
    ),
  )
  return summarize(results, timeMs)
}

async function callFor(timeMs: number, call: () => Promise<unknown>): Promise<LoadResult> {
  return summarize([await collect(timeMs, call)], timeMs)
}

async function collect(timeMs: number, call: () => Promise<unknown>): Promise<readonly number[]> {
  const times: number[] = []
  const end = performance.now() + timeMs
  for (let from = performance.now(); from < end; from = performance.now()) {
    await call()
    times.push(performance.now() - from)
  }
  return times
}

function summarize(results: readonly (readonly number[])[], timeMs: number): LoadResult {
  const latencies = new Latencies()
  for (const time of results.flat()) latencies.add(time)
  return {
    p50: latencies.quantile(0.5),
    p99: latencies.quantile(0.99),
    perSecond: latencies.count / (timeMs / 1000),
  }
}

async function send(
  pool: Pool | undefined,
  { path, body }: Work,
  headers: Record<string, string>,
): Promise<void> {
  if (pool === undefined) throw new Error('no such pod')
  const answer = await pool.request({
    method: 'POST',
    path,
    headers: { ...headers, 'content-type': 'application/json' },
    body,
  })
  const text = await answer.body.text()
  if (answer.statusCode !== 200) throw new Error(`${String(answer.statusCode)}: ${text}`)
}

async function logIn(pod: Pod): Promise<string> {
  const tokens = JSON.parse(await vault.tokens(pod)) as { vault: { token: string } }
  const login = { role: ROLE, jwt: tokens.vault.token }
  const answer = await vault.bao.request('POST', 'auth/jwt/login', login, { token: null })
  return String(answer.body.auth.client_token)
}

/** Sends the first Mount of a volume with one public key. */
async function openFiles(provider: Provider): Promise<GrpcLoad> {
  const { method, typeName } = CSIDriverProvider
  const { input } = method.mount
  const objects = [{ path: 'signing.pem', type: 'publicKey', key: 'app-signing' }]
  const attributes = await vault.attributes(newPod(), objects)
  const request = { attributes, secrets: 'null', targetPath: '/mnt', permission: '420' }
  const name = `/${typeName}/${method.mount.name}`
  const message = toBinary(input, create(input, request))
  const files = await GrpcLoad.open(provider.socket, name, message)
  await files.call()
  return files
}

function makePods(count: number): Pod[] {
  return Array.from({ length: count }, (_none, index) =>
    newPod({ serviceAccount: `web-${String(index)}` }),
  )
}

function milliseconds(value: number): string {
  return `${value.toFixed(3)} ms`
}

function rate(value: number): string {
  return `${Math.round(value).toLocaleString('en')}/s`
}
