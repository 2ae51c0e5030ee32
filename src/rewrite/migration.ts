import * as v from 'valibot'

import type { Clock } from '../time/clock.ts'
import { BridgeError } from '../errors.ts'
import { wait } from '../time/wait.ts'
import type { KubeClient } from '../kube/client.ts'
import { hasRights } from '../kube/access-review.ts'
import { check, listVersions, type ServedResource } from '../kube/discovery.ts'
import type { Persistence } from '../kube/persistence.ts'

const GROUP = 'storagemigration.k8s.io'
/** The newest first. With v1alpha1 the resource includes its version (KEP-4192). */
const VERSIONS = ['v1', 'v1beta1', 'v1alpha1'] as const
export type MigrationVersion = (typeof VERSIONS)[number]

const Migration = v.object({
  metadata: v.object({ name: v.string() }),
  status: v.optional(
    v.object({
      resourceVersion: v.optional(v.string()),
      conditions: v.optional(
        v.array(
          v.object({
            type: v.string(),
            status: v.string(),
            message: v.optional(v.string(), ''),
          }),
        ),
        [],
      ),
    }),
    {},
  ),
})
const Lease = v.object({ spec: v.object({ renewTime: v.optional(v.string()) }) })

/** A running controller starts a migration within seconds: it watches them, and its queue is short. */
const START_TIMEOUT_MS = 30_000
const POLL_MS = 1_000
/**
 * How long a started migration may take: a controller sends 20 requests per second by default (kube-controller-manager
 * --kube-api-qps), and four times that is allowed. One that hangs still renews its Lease.
 */
const MAX_BASE_MS = 15 * 60_000
const MAX_OBJECT_MS = 200
/** How often to report that it still runs. */
const REMIND_MS = 60_000
/**
 * A leader renews every 2 s and loses its lease after 15 s (kube-controller-manager --leader-elect-*); the rest is for clock
 * skew.
 */
const MAX_LEASE_AGE_MS = 60_000

/** The newest served version of StorageVersionMigration; undefined if none is served. */
export async function findMigrationVersion(
  client: KubeClient,
): Promise<MigrationVersion | undefined> {
  const served = await listVersions(client, GROUP)
  return VERSIONS.find((version) => served.includes(version))
}

/** Whether this user may create a migration, watch its end and remove it. */
export function mayMigrate(client: KubeClient): Promise<boolean> {
  const resource = { group: GROUP, name: 'storageversionmigrations' }
  return hasRights(client, resource, ['create', 'get', 'delete'])
}

/** Whether a kube-controller-manager is active, by its Lease; `unknown` without a Lease, or without the right to read it. */
export async function readController(
  client: KubeClient,
  clock: Clock,
): Promise<'active' | 'inactive' | 'unknown'> {
  try {
    const path =
      '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager'
    const { spec } = check(Lease, await client.get(path), client)
    const age = clock.now() - Date.parse(spec.renewTime ?? '')
    return age < MAX_LEASE_AGE_MS ? 'active' : 'inactive'
  } catch (error) {
    const { code } = BridgeError.from(error)
    if (code === 'KUBE_NOT_FOUND' || code === 'KUBE_DENIED') return 'unknown'
    throw error
  }
}

export interface MigrationOptions {
  readonly persistence: Persistence
  readonly version: MigrationVersion
  readonly clock: Clock
  readonly onNote: (text: string) => void
}

/**
 * The outcome of a migration. `gone`: the object was deleted, possibly by a run that was interrupted; `abandoned`: it was
 * running, and kube-controller-manager is no longer active; `overdue`: it still runs after the longest time that it may take.
 */
export type MigrationEnd =
  | { readonly kind: 'succeeded' | 'not-started' | 'abandoned' | 'overdue' | 'gone' }
  | { readonly kind: 'failed'; readonly why: string }

/** Rewrites resources with the storage version migrator of kube-controller-manager. */
export class Migrations {
  readonly #options: MigrationOptions

  constructor(options: MigrationOptions) {
    this.#options = options
  }

  /** Creates a migration and returns its name. */
  async begin(served: ServedResource, signal: AbortSignal): Promise<string> {
    const { version, persistence } = this.#options
    const { group, name } = served.resource
    const resource =
      version === 'v1alpha1'
        ? { group, version: served.version, resource: name }
        : { group, resource: name }
    const body = {
      apiVersion: `${GROUP}/${version}`,
      kind: 'StorageVersionMigration',
      metadata: { generateName: `transit-bridge-${name}-` },
      spec: { resource },
    }
    return persistence.run(async (client) => {
      const made = await client.read({ method: 'POST', path: this.#path(), body, signal })
      return check(Migration, made, client).metadata.name
    }, signal)
  }

  /**
   * Waits for the end of a migration. If no controller starts it within 30 seconds, deletes it and returns `not-started`: the
   * feature gate StorageVersionMigrator is off (it is on by default since Kubernetes 1.37). A failed or overdue one is kept for
   * inspection.
   * @param objects of the resource, which bound the time
   */
  async finish(name: string, objects: number, signal: AbortSignal): Promise<MigrationEnd> {
    const { clock, onNote } = this.#options
    const startedAt = clock.monotonic()
    let reportedAt = startedAt
    for (;;) {
      const found = await this.#read(name, signal)
      if (found === undefined) return { kind: 'gone' }
      const { status } = found
      const holds = (type: string) =>
        status.conditions?.find((each) => each.type === type && each.status === 'True')
      if (holds('Succeeded') !== undefined) {
        await this.#remove(name, signal)
        return { kind: 'succeeded' }
      }
      const failed = holds('Failed')
      if (failed !== undefined) return { kind: 'failed', why: failed.message }
      const isStarted = holds('Running') !== undefined || status.resourceVersion !== undefined
      if (!isStarted && clock.monotonic() - startedAt > START_TIMEOUT_MS) {
        await this.#remove(name, signal)
        return { kind: 'not-started' }
      }
      if (isStarted && (await this.#isAbandoned(signal))) {
        await this.#remove(name, signal)
        return { kind: 'abandoned' }
      }
      const now = clock.monotonic()
      if (now - startedAt > MAX_BASE_MS + objects * MAX_OBJECT_MS) return { kind: 'overdue' }
      if (now - reportedAt >= REMIND_MS) {
        const minutes = String(Math.round((now - startedAt) / 60_000))
        onNote(`the StorageVersionMigration ${name} has been running for ${minutes} min`)
        reportedAt = now
      }
      await wait(POLL_MS, clock, signal)
    }
  }

  /** Without a leader, no one continues a migration that is running. A new leader takes over within seconds. */
  async #isAbandoned(signal: AbortSignal): Promise<boolean> {
    const { persistence, clock } = this.#options
    return persistence.run(
      async (client) => (await readController(client, clock)) === 'inactive',
      signal,
    )
  }

  async #read(name: string, signal: AbortSignal) {
    const read = async (client: KubeClient) =>
      check(Migration, await client.read({ method: 'GET', path: this.#path(name), signal }), client)
    return this.#options.persistence.run(read, signal).catch(undefinedIfNotFound)
  }

  async #remove(name: string, signal: AbortSignal): Promise<void> {
    await this.#options.persistence
      .run((client) => client.read({ method: 'DELETE', path: this.#path(name), signal }), signal)
      .catch(undefinedIfNotFound)
  }

  #path(name?: string): string {
    const list = `/apis/${GROUP}/${this.#options.version}/storageversionmigrations`
    return name === undefined ? list : `${list}/${encodeURIComponent(name)}`
  }
}

function undefinedIfNotFound(error: unknown): undefined {
  if (BridgeError.from(error).code !== 'KUBE_NOT_FOUND') throw error
}
