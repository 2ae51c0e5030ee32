import type { Clock } from '../time/clock.ts'
import { BridgeError } from '../errors.ts'
import { requireRights } from '../kube/access-review.ts'
import { readClusterUid, type ApiServers } from '../convergence/api-servers.ts'
import { judgeConvergence, type Convergence, type Demand } from '../convergence/convergence.ts'
import { discoverResources, type Discovery, type ServedResource } from '../kube/discovery.ts'
import {
  findMigrationVersion,
  readController,
  mayMigrate,
  type MigrationVersion,
} from './migration.ts'
import { makeMigrator, type RewriteMethod } from './migrator.ts'
import { listPage } from '../kube/object-list.ts'
import { Persistence } from '../kube/persistence.ts'
import { formatResource } from '../kube/resource.ts'
import {
  fingerprint,
  progressOf,
  type RewriteState,
  totalOf,
  type ResourceProgress,
} from './state.ts'
import { Rewriter, type Refusal, type ServedObject } from './rewriter.ts'
import type { StateFile } from '../files/state-file.ts'

/** Receives the progress of a rewrite. */
export interface RewriteListener {
  /** A message about what it does, or what delays it. */
  readonly onNote: (text: string) => void
  readonly onProgress: (objects: number, total: number) => void
}

export interface RewriteOptions extends RewriteListener {
  readonly servers: ApiServers
  /** Addresses of plugins to check as well. */
  readonly plugins: readonly string[]
  /** Resources in the notation of an EncryptionConfiguration. */
  readonly patterns: readonly string[]
  readonly method: RewriteMethod
  /** Maximum objects per second. */
  readonly rate?: number | undefined
  /** How long a failing request is repeated. */
  readonly patienceMs: number
  readonly state: (cluster: string) => StateFile<typeof RewriteState>
  readonly clock: Clock
  readonly demand: Demand
  /** Whether etcd is read afterwards, which shows what each object was written with. */
  readonly isVerified: boolean
}

/** What a rewrite will do, after every check that needs no change. */
export interface RewritePlan {
  readonly cluster: string
  readonly convergence: Convergence
  readonly discovery: Discovery
  readonly migration: MigrationVersion | undefined
  /** The number of objects by resource. */
  readonly objects: ReadonlyMap<string, number>
  /** The first object of each resource that has any. */
  readonly samples: readonly ServedObject[]
}

export interface RewriteResult {
  /** Resources that were asked for and not rewritten. */
  readonly skipped: Discovery['skipped']
  readonly resources: readonly ResourceProgress[]
  readonly refusals: readonly Refusal[]
  readonly convergence: Convergence
}

/** Checks the preconditions; changes nothing. Throws NOT_CONVERGED while API servers disagree, KUBE_DENIED without rights. */
export async function planRewrite(
  options: RewriteOptions,
  signal: AbortSignal,
): Promise<RewritePlan> {
  const { servers, patterns, method, clock } = options
  const cluster = await readClusterUid(servers.first)
  const convergence = await requireConvergence(options)
  const discovery = await discoverResources(servers.first, patterns)
  await requireRights(servers.first, discovery.served, ['list', 'patch'])
  const migration = await chooseMigration(servers, method, clock)
  const objects = new Map<string, number>()
  const samples: ServedObject[] = []
  for (const served of discovery.served) {
    const { objects: first, remaining = 0 } = await listPage(
      servers.first,
      served,
      undefined,
      signal,
      1,
    )
    objects.set(formatResource(served.resource), first.length + remaining)
    samples.push(...first.map((object) => ({ served, object })))
  }
  return { cluster, convergence, discovery, migration, objects, samples }
}

/** Returns the agreed write key. Throws NOT_CONVERGED with the reasons if there is none. */
async function requireConvergence({
  servers,
  plugins,
  demand,
}: RewriteOptions): Promise<Convergence> {
  const convergence = judgeConvergence(await servers.read(plugins), demand)
  if (convergence.isReached) return convergence
  throw new BridgeError(
    'NOT_CONVERGED',
    `not rewriting while API servers may have different write keys, because new data could be rewritten under the old key: ${convergence.reasons.join('; ')}`,
  )
}

async function chooseMigration(
  servers: ApiServers,
  method: RewriteMethod,
  clock: Clock,
): Promise<MigrationVersion | undefined> {
  if (method === 'patch') return undefined
  const version = await findMigrationVersion(servers.first)
  if (method === 'auto')
    return version !== undefined &&
      (await readController(servers.first, clock)) === 'active' &&
      (await mayMigrate(servers.first))
      ? version
      : undefined
  if (version !== undefined) return version
  throw new BridgeError(
    'KUBE_FAILED',
    'the API server does not serve StorageVersionMigration (storagemigration.k8s.io); remove --method migration',
  )
}

/**
 * Rewrites everything that is stale. Throws CANCELLED if the signal is aborted; a later call with the same state file continues.
 */
export async function runRewrite(
  options: RewriteOptions,
  plan: RewritePlan,
  signal: AbortSignal,
): Promise<RewriteResult> {
  const file = options.state(plan.cluster)
  const unlock = await file.lock()
  try {
    return await rewriteAll(options, plan, file, signal)
  } finally {
    unlock()
  }
}

async function rewriteAll(
  options: RewriteOptions,
  plan: RewritePlan,
  file: StateFile<typeof RewriteState>,
  signal: AbortSignal,
): Promise<RewriteResult> {
  const { servers, patienceMs, clock, rate, onNote, onProgress } = options
  const state = await loadState(options, plan, file)
  const persistence = new Persistence({
    clients: servers.clients,
    clock,
    patienceMs,
    onTrouble: (error) => onNote(`${error.message}; retrying`),
  })
  const already = sum(state.resources.map(({ counts }) => totalOf(counts)))
  const total = Math.max(already, sum([...plan.objects.values()]))
  let done = already
  const rewriter = new Rewriter({
    persistence,
    state,
    patienceMs,
    samples: plan.samples,
    save: () => file.write(state),
    rate,
    clock,
    onObject: () => onProgress((done += 1), total),
  })
  await file.write(state)
  const { method } = options
  const { migration: version, objects } = plan
  const migrate = makeMigrator({ method, version, objects, persistence, clock, onNote })
  const rewriteNext = async (served: ServedResource) => {
    const progress = progressOf(state, served.resource)
    if (progress.done) return
    const isMigrated = await migrate(served, progress, () => file.write(state), signal)
    if (!isMigrated) await rewriter.rewrite(served, signal)
  }
  for (const served of plan.discovery.served) await rewriteNext(served)
  const added = await findAdded(options, plan, persistence, signal)
  for (const served of added) {
    onNote(`${formatResource(served.resource)} is served since the rewrite began`)
    await rewriteNext(served)
  }
  const convergence = await requireSameKey(options, state)
  await file.remove()
  const isAdded = (name: string) => added.some(({ resource }) => formatResource(resource) === name)
  const skipped = plan.discovery.skipped.filter(({ name }) => !isAdded(name))
  return { skipped, resources: state.resources, refusals: rewriter.refusals, convergence }
}

/** Resources that are served only since the plan was made: their objects may be older than the plan. */
async function findAdded(
  { patterns }: RewriteOptions,
  { discovery }: RewritePlan,
  persistence: Persistence,
  signal: AbortSignal,
): Promise<readonly ServedResource[]> {
  const planned = new Set(discovery.served.map(({ resource }) => formatResource(resource)))
  const { served } = await persistence.run((client) => discoverResources(client, patterns), signal)
  return served.filter(({ resource }) => !planned.has(formatResource(resource)))
}

async function loadState(
  { clock, onNote }: RewriteOptions,
  { cluster, convergence }: RewritePlan,
  file: StateFile<typeof RewriteState>,
): Promise<RewriteState> {
  const known = await file.read()
  if (known !== undefined && known.cluster !== cluster) {
    throw new BridgeError(
      'STATE_INVALID',
      `the state file ${file.path} belongs to another cluster (${known.cluster}); pass another --state`,
    )
  }
  const key = fingerprint(convergence)
  const { loads } = convergence
  if (known?.key === key && known.loads === loads) {
    onNote(`resuming the rewrite of ${known.startedAt}`)
    // Objects that were refused are tried again: this run must not end well because an earlier one listed them.
    return { ...known, resources: known.resources.filter(({ counts }) => counts.refused === 0) }
  }
  if (known !== undefined) {
    const why =
      known.key === key
        ? 'is not continued, because an API server has loaded its EncryptionConfiguration since'
        : 'was for another key'
    onNote(`the rewrite of ${known.startedAt} ${why}; starting again`)
  }
  const startedAt = new Date(clock.now()).toISOString()
  return { version: 1, procedure: 'rewrite', cluster, key, loads, startedAt, resources: [] }
}

/**
 * If the write key changed meanwhile, objects written before the change are stale again. An API server that loaded another
 * EncryptionConfiguration, and then the first one again, shows it only by the time of the last load.
 */
async function requireSameKey(
  { servers, plugins, demand, isVerified }: RewriteOptions,
  { key, loads }: RewriteState,
): Promise<Convergence> {
  const convergence = judgeConvergence(await servers.read(plugins), demand)
  const isSame = fingerprint(convergence) === key
  const isLoaded = !isVerified && convergence.loads !== loads
  if (convergence.isReached && isSame && !isLoaded) return convergence
  const reasons = convergence.isReached
    ? isSame
      ? LOADED
      : 'the key changed'
    : convergence.reasons.join('; ')
  throw new BridgeError(
    'NOT_CONVERGED',
    `all objects were rewritten, but possibly with different keys: ${reasons}; run this command again`,
  )
}

const LOADED =
  'an API server has started or loaded its EncryptionConfiguration since the rewrite began, and may have written with another provider in between'

function sum(numbers: readonly number[]): number {
  return numbers.reduce((all, each) => all + each, 0)
}
