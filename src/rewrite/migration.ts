import * as v from 'valibot'

import type { Clock } from '../time/clock.ts'
import { BridgeError } from '../errors.ts'
import { wait } from '../time/wait.ts'
import type { KubeClient } from '../kube/client.ts'
import { check, listVersions, type ServedResource } from '../kube/discovery.ts'
import type { Persistence } from '../kube/persistence.ts'

const GROUP = 'storagemigration.k8s.io'
/** The newest first; v1alpha1 names the version of the resource too (KEP-4192). */
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

/** How long a controller that runs may take to begin: it looks at once, and its queue is short. */
const TAKE_UP = 30_000
const POLL = 1_000
/** A leader renews every 2 s and loses its lease after 15 s; clocks differ (kube-controller-manager --leader-elect-*). */
const LEASE_AGE = 60_000

/** Which version of StorageVersionMigration the cluster serves; undefined if none. */
export async function findMigrationVersion(
  client: KubeClient,
): Promise<MigrationVersion | undefined> {
  const served = await listVersions(client, GROUP)
  return VERSIONS.find((version) => served.includes(version))
}

/** Whether a kube-controller-manager leads now, by its Lease. Whether it migrates shows when it takes a migration up. */
export async function isControllerLeading(client: KubeClient, clock: Clock): Promise<boolean> {
  try {
    const path =
      '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-controller-manager'
    const { spec } = check(Lease, await client.get(path), client)
    const age = clock.now() - Date.parse(spec.renewTime ?? '')
    return age < LEASE_AGE
  } catch (error) {
    const { code } = BridgeError.from(error)
    if (code === 'KUBE_NOT_FOUND' || code === 'KUBE_DENIED') return false
    throw error
  }
}

export interface MigrationOptions {
  readonly persistence: Persistence
  readonly version: MigrationVersion
  readonly clock: Clock
}

/** What became of a migration. One that is gone was taken away by somebody, or by a run that was ended just then. */
export type MigrationEnd =
  | { readonly kind: 'succeeded' | 'not-taken-up' | 'gone' }
  | { readonly kind: 'failed'; readonly why: string }

/** Lets the cluster's own controller rewrite a resource. */
export class Migrations {
  readonly #options: MigrationOptions

  constructor(options: MigrationOptions) {
    this.#options = options
  }

  /** Asks for a migration; gives its name, by which it is found again. */
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
   * Waits for its end. One that nobody begins within half a minute is taken back, and `not-taken-up`: then the controller
   * does not migrate (gate StorageVersionMigrator, on by itself since Kubernetes 1.37). One that failed stays, to be looked at.
   */
  async finish(name: string, signal: AbortSignal): Promise<MigrationEnd> {
    const { clock } = this.#options
    const startedAt = clock.monotonic()
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
      const isTakenUp = holds('Running') !== undefined || status.resourceVersion !== undefined
      if (!isTakenUp && clock.monotonic() - startedAt > TAKE_UP) {
        await this.#remove(name, signal)
        return { kind: 'not-taken-up' }
      }
      await wait(POLL, clock, signal)
    }
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
