// Speed of the CSI provider and the load on Vault, compared with a client that logs in for each pod and requests each
// object: part of npm run bench.
//
// Everything is real: OpenBao with its audit file, the built program in its own process, gRPC over its unix
// socket. There is no driver and no kubelet, because they would take most of the measured time.
import { create, toBinary } from '@bufbuild/protobuf'
import { setTimeout as sleep } from 'node:timers/promises'
import { CSIDriverProvider } from '../src/gen/csi/v1alpha1/service_pb.ts'
import { newPod, PodVault, ROLE, type Pod } from '../test/csi/pod-vault.ts'
import { Provider, type ProviderConfiguration } from '../test/real/program/provider.ts'
import { tempFolder } from '../test/real/host/temp-folder.ts'
import { GrpcLoad } from './grpc-load.ts'
import { load, middle, type LoadResult } from './latency.ts'
import { readOptions } from './options.ts'
import { readPeakMemory, readResidentMemory } from './process-figures.ts'
import { mebibytes, milliseconds, perSecond, printTable, type Row } from './table.ts'

const PODS = 100
const OBJECTS = 5
const REPUBLISHES = 10
/** Pods of one Deployment have one service account. */
const PODS_OF_A_DEPLOYMENT = 10
const CALLERS = 32
const UNCHANGED_CALLS = 10_000
const LONE_CALLS = 1_000
const ROUNDS = 5
const NODE_PODS = 1_000
const NODE_REPUBLISHES = 3
const NODE_CALLERS = 100
const COLD_MOUNTS = 40
/** One second represents half a minute: the defaults are 30 s and 10 min, and the kubelet republishes every 62 to 83 s. */
const SCALED = { refreshInterval: '1s', revalidateAfter: '20s' }
const SCALED_PAUSE_MS = 2_400

type Objects = readonly object[]
/** Encoded Mount requests, one per volume. */
type Volumes = readonly Uint8Array[]

interface Driver {
  readonly provider: Provider
  /** The driver uses one connection for all Mounts, too. */
  readonly connection: GrpcLoad
}

const options = readOptions()
const vault = await PodVault.start()
try {
  const objects = await makeObjects()
  const rows: Row[] = []
  await withProvider({}, (driver) => measureSpeed(driver, objects, rows))
  await withProvider({}, (driver) => countRequests(driver, objects, rows))
  await withProvider(SCALED, (driver) => countOverTime(driver, objects, rows))
  await withProvider({}, (driver) => measureFullNode(driver, objects, rows))
  printTable(rows, options)
  process.exitCode = rows.some(({ ok }) => ok === false) ? 1 : 0
} finally {
  await vault.stop()
}

/** Two files from one key's metadata, and three values of another key. */
async function makeObjects(): Promise<Objects> {
  await vault.makeKey('app-signing', 'ecdsa-p256')
  await vault.makeKey('app-data')
  const value = async (path: string) => ({
    path,
    type: 'decrypt',
    key: 'app-data',
    ciphertext: await vault.encrypt('app-data', `the value of ${path}`),
  })
  return [
    { path: 'signing.pem', type: 'publicKey', key: 'app-signing' },
    { path: 'jwks.json', type: 'jwks', key: 'app-signing' },
    await value('one'),
    await value('two'),
    await value('three'),
  ]
}

async function withProvider(
  csi: Partial<ProviderConfiguration['csi']>,
  use: (driver: Driver) => Promise<void>,
): Promise<void> {
  const provider = await Provider.start(tempFolder('providers'), {
    vault: { address: vault.bao.address },
    transit: { key: 'k8s-etcd' },
    csi: {
      audience: 'vault',
      rules: [
        {
          namespaces: ['shop'],
          serviceAccounts: ['*'],
          roles: [ROLE],
          keys: ['app-*'],
          types: ['publicKey', 'jwks', 'decrypt'],
        },
      ],
      refreshInterval: '30s',
      ...csi,
    },
    log: { level: 'info' },
  })
  const { method, typeName } = CSIDriverProvider
  const name = `/${typeName}/${method.mount.name}`
  const connection = await GrpcLoad.open(provider.socket, name, new Uint8Array())
  try {
    await use({ provider, connection })
  } finally {
    connection.close()
    await provider.stop()
  }
}

async function measureSpeed(driver: Driver, objects: Objects, rows: Row[]): Promise<void> {
  const { pid } = driver.provider.program
  const restMemory = await readResidentMemory(pid)
  // Warm-up for the JIT compiler, with other pods.
  const warm = await makeVolumes(makePods(PODS, 10), objects)
  await load(CALLERS, PODS, takeTurns(driver, warm))
  await load(CALLERS, 2_000, takeTurns(driver, warm))
  const byHand: LoadResult[] = []
  const coldOne: LoadResult[] = []
  const coldMany: LoadResult[] = []
  const volumes: Uint8Array[] = []
  for (let round = 0; round < ROUNDS; round += 1) {
    byHand.push(await measureByHand(objects))
    for (const [callers, results] of [
      [1, coldOne],
      [CALLERS, coldMany],
    ] as const) {
      const fresh = await makeVolumes(makePods(COLD_MOUNTS, 1), objects)
      results.push(await load(callers, fresh.length, takeTurns(driver, fresh)))
      volumes.push(...fresh)
    }
  }
  const sameOne = await load(1, LONE_CALLS, takeTurns(driver, volumes))
  const sameMany = await load(CALLERS, UNCHANGED_CALLS, takeTurns(driver, volumes))
  const memory = await readResidentMemory(pid)
  addSpeedRows(rows, {
    byHand: middle(byHand),
    coldOne: middle(coldOne),
    coldMany: middle(coldMany),
    sameOne,
    sameMany,
  })
  rows.push(
    { what: 'memory at rest', value: mebibytes(restMemory) },
    {
      what: `memory after ${(UNCHANGED_CALLS + LONE_CALLS).toLocaleString('en')} more Mounts of ${volumes.length} volumes`,
      value: mebibytes(memory),
    },
  )
}

/** A login, and then a request for each object, one after the other. */
async function measureByHand(objects: Objects): Promise<LoadResult> {
  const { bao } = vault
  const pods = makePods(COLD_MOUNTS, 1)
  const logins = await Promise.all(
    pods.map(async (pod) => {
      const tokens = JSON.parse(await vault.tokens(pod)) as { vault: { token: string } }
      return { role: ROLE, jwt: tokens.vault.token }
    }),
  )
  const requests = objects as readonly { key: string; ciphertext?: string }[]
  return load(1, pods.length, async () => {
    const login = await bao.request('POST', 'auth/jwt/login', logins.pop(), { token: null })
    const token = String(login.body.auth.client_token)
    for (const { key, ciphertext } of requests) {
      await (ciphertext === undefined
        ? bao.request('GET', `transit/keys/${key}`, undefined, { token })
        : bao.request('POST', `transit/decrypt/${key}`, { ciphertext }, { token }))
    }
  })
}

function addSpeedRows(
  rows: Row[],
  results: Record<'byHand' | 'coldOne' | 'coldMany' | 'sameOne' | 'sameMany', LoadResult>,
): void {
  const { byHand, coldOne, coldMany, sameOne, sameMany } = results
  const against = (value: number) => value / byHand.p50
  rows.push(
    {
      what: `a login and ${OBJECTS} requests, one by one: p50`,
      value: milliseconds(byHand.p50),
      ratio: 1,
    },
    {
      what: 'cold Mount, 1 caller: p50',
      value: milliseconds(coldOne.p50),
      ratio: against(coldOne.p50),
      target: '<= 1.2',
      ok: coldOne.p50 <= 1.2 * byHand.p50,
    },
    { what: 'cold Mount, 1 caller: p99', value: milliseconds(coldOne.p99) },
    { what: `cold Mounts, ${CALLERS} callers`, value: perSecond(coldMany.perSecond) },
    { what: `cold Mounts, ${CALLERS} callers: p99`, value: milliseconds(coldMany.p99) },
    {
      what: 'unchanged Mount, 1 caller: p50',
      value: milliseconds(sameOne.p50),
      ratio: against(sameOne.p50),
      target: '< 5 ms',
      ok: sameOne.p50 < 5,
    },
    { what: 'unchanged Mount, 1 caller: p99', value: milliseconds(sameOne.p99) },
    {
      what: `unchanged Mounts, ${CALLERS} callers`,
      value: perSecond(sameMany.perSecond),
      target: '> 1,000/s',
      ok: sameMany.perSecond > 1_000,
    },
    { what: `unchanged Mounts, ${CALLERS} callers: p99`, value: milliseconds(sameMany.p99) },
  )
}

/** As many volumes as a large node has, all mounted at once and then republished, under the shipped heap limit. */
async function measureFullNode(driver: Driver, objects: Objects, rows: Row[]): Promise<void> {
  const volumes = await makeVolumes(makePods(NODE_PODS, PODS_OF_A_DEPLOYMENT), objects)
  const mount = takeTurns(driver, volumes)
  const cold = await load(NODE_CALLERS, NODE_PODS, mount)
  const one = await load(1, NODE_PODS, mount)
  const many = await load(NODE_CALLERS, NODE_REPUBLISHES * NODE_PODS, mount)
  const peak = await readPeakMemory(driver.provider.program.pid)
  const what = `${NODE_PODS.toLocaleString('en')} volumes x ${OBJECTS} objects`
  rows.push(
    { what: `${what}: cold Mounts, ${NODE_CALLERS} callers`, value: perSecond(cold.perSecond) },
    { what: `${what}: unchanged Mount, 1 caller: p50`, value: milliseconds(one.p50) },
    { what: `${what}: unchanged Mount, 1 caller: p99`, value: milliseconds(one.p99) },
    {
      what: `${what}: unchanged Mounts, ${NODE_CALLERS} callers`,
      value: perSecond(many.perSecond),
    },
    {
      what: `${what}: unchanged Mounts, ${NODE_CALLERS} callers: p99`,
      value: milliseconds(many.p99),
    },
    { what: `${what}: peak memory`, value: mebibytes(peak) },
  )
}

/** All republishes within revalidateAfter: the cost of a start. */
async function countRequests(driver: Driver, objects: Objects, rows: Row[]): Promise<void> {
  for (const [podsOfOne, what] of [
    [PODS_OF_A_DEPLOYMENT, `${PODS_OF_A_DEPLOYMENT} pods per account`],
    [1, 'each its own account'],
  ] as const) {
    const volumes = await makeVolumes(makePods(PODS, podsOfOne), objects)
    const since = vault.bao.auditMark()
    const mount = takeTurns(driver, volumes)
    await load(CALLERS, PODS, mount)
    await load(CALLERS, REPUBLISHES * PODS, mount)
    rows.push(rowOfRequests(what, since, podsOfOne > 1))
  }
}

/** Republishes about 72 s apart, with a clock 30 times as fast: the running cost, including a revalidation. */
async function countOverTime(driver: Driver, objects: Objects, rows: Row[]): Promise<void> {
  const pods = makePods(PODS, PODS_OF_A_DEPLOYMENT)
  const volumes = await makeVolumes(pods, objects)
  const since = vault.bao.auditMark()
  const mount = takeTurns(driver, volumes)
  const startedAt = performance.now()
  for (let round = 0; round <= REPUBLISHES; round += 1) {
    await load(CALLERS, PODS, mount)
    await sleep(Math.max(0, startedAt + (round + 1) * SCALED_PAUSE_MS - performance.now()))
  }
  rows.push(rowOfRequests('over 12 minutes', since, false))
}

function rowOfRequests(what: string, since: number, hasTarget: boolean): Row {
  const requests = vault.bao.auditRequests({ since })
  const refused = requests.filter(({ error }) => error !== undefined)
  if (refused.length > 0) throw new Error(`Vault refused: ${String(refused[0]?.error)}`)
  const peer = PODS + PODS * OBJECTS * (1 + REPUBLISHES)
  const share = requests.length / peer
  return {
    what: `requests to Vault, ${PODS} pods x ${OBJECTS} objects x (1 + ${REPUBLISHES}), ${what}`,
    value: `${requests.length} of ${peer.toLocaleString('en')}`,
    ratio: `${(share * 100).toFixed(1)} %`,
    ...(hasTarget ? { target: '< 5 %', ok: share < 0.05 } : {}),
  }
}

/** Pods, in groups that share a service account. */
function makePods(count: number, ofOneAccount: number): Pod[] {
  const group = crypto.randomUUID().slice(0, 8)
  return Array.from({ length: count }, (_, index) =>
    newPod({ serviceAccount: `web-${group}-${Math.floor(index / ofOneAccount)}` }),
  )
}

function makeVolumes(pods: Pod[], objects: Objects): Promise<Volumes> {
  const { input } = CSIDriverProvider.method.mount
  return Promise.all(
    pods.map(async (pod) => {
      const attributes = await vault.attributes(pod, objects)
      const request = { attributes, secrets: 'null', targetPath: '/mnt', permission: '420' }
      return toBinary(input, create(input, request))
    }),
  )
}

function takeTurns({ connection }: Driver, volumes: Volumes): () => Promise<void> {
  let turn = 0
  return async () => {
    const volume = volumes[turn % volumes.length]
    turn += 1
    await connection.call(volume)
  }
}
