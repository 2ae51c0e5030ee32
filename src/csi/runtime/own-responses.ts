import type { EnginePlace } from '../engine-place.ts'
import type { RuntimeVolume } from './publish-request.ts'
import { respond, type PodResponse } from './pod-request.ts'

/**
 * Stands for a Vault token where a client expects one. It is not a token: the identity of a request is the socket that it
 * arrives on.
 */
const PLACEHOLDER = 'the-identity-is-the-volume'
/**
 * The lifetime that clients see. There is nothing to renew, but for a token that is not renewable Vault's LifetimeWatcher ends at
 * once, and programs then try to log in again.
 */
const LIFETIME_SECONDS = 3600

export const HEALTH = 'sys/health'

/** The input of the responses that need no request to Vault. Clients request them before they use Transit. */
export interface OwnResponseOptions {
  /** Only sys/health has one. */
  readonly query: string
  readonly volume: RuntimeVolume
  readonly engines: readonly EnginePlace[]
  /** False after a request that Vault could not answer, until it answers one. */
  readonly isAvailable: boolean
  readonly now: number
  readonly programVersion: string
}

/** Returns undefined for any other path. Paths have no leading `v1/`. */
export function respondWithoutVault(
  method: string,
  path: string,
  options: OwnResponseOptions,
): PodResponse | undefined {
  if (path === HEALTH && (method === 'GET' || method === 'HEAD')) return respondHealth(options)
  if (path === 'sys/seal-status' && method === 'GET') return respond(200, sealStatus(options))
  if (path === 'sys/leader' && method === 'GET') return respond(200, LEADER)
  if (path === 'auth/token/lookup-self' && method === 'GET') return respond(200, lookUp(options))
  if (path === 'auth/token/renew-self' && method === 'POST') return respond(200, renew())
  const mounts = 'sys/internal/ui/mounts/'
  if (path.startsWith(mounts) && method === 'GET')
    return respondMount(path.slice(mounts.length), options.engines)
  return undefined
}

/**
 * As sys/health of an active node, or of a sealed one during an outage. Clients can choose the status: Vault's Go client requests
 * 299 for all states, which it then reads from the body (http/sys_health.go, api/sys_health.go).
 */
function respondHealth({
  query,
  isAvailable,
  now,
  programVersion,
}: OwnResponseOptions): PodResponse {
  const chosen = new URLSearchParams(query).get(isAvailable ? 'activecode' : 'sealedcode')
  if (chosen !== null && !/^[2-5]\d\d$/.test(chosen)) return respond(400, { errors: [] })
  const status = Number(chosen ?? (isAvailable ? 200 : 503))
  const response = respond(status, {
    initialized: true,
    sealed: !isAvailable,
    standby: false,
    performance_standby: false,
    replication_performance_mode: 'disabled',
    replication_dr_mode: 'disabled',
    server_time_utc: Math.floor(now / 1000),
    version: `transit-bridge ${programVersion}`,
  })
  return { ...response, isStatusOpen: chosen !== null }
}

/** `vault status` requests it; hvac requests it before anything else. */
function sealStatus({ isAvailable, programVersion }: OwnResponseOptions): object {
  return {
    type: 'transit-bridge',
    initialized: true,
    sealed: !isAvailable,
    t: 0,
    n: 0,
    progress: 0,
    nonce: '',
    version: `transit-bridge ${programVersion}`,
    build_date: '',
    migration: false,
    recovery_seal: false,
    storage_type: '',
  }
}

/** As from a server without high availability. */
const LEADER = {
  ha_enabled: false,
  is_self: false,
  active_time: '0001-01-01T00:00:00Z',
  leader_address: '',
  leader_cluster_address: '',
  performance_standby: false,
  performance_standby_last_remote_wal: 0,
}

/** As for a periodic token, which can be renewed as long as the pod exists. */
function lookUp({ volume, now }: OwnResponseOptions): object {
  const { pod, role } = volume
  return envelope({
    data: {
      id: PLACEHOLDER,
      accessor: '',
      display_name: `${pod.namespace}/${pod.name}`,
      entity_id: '',
      creation_ttl: LIFETIME_SECONDS,
      expire_time: new Date(now + LIFETIME_SECONDS * 1000).toISOString(),
      explicit_max_ttl: 0,
      meta: { namespace: pod.namespace, service_account: pod.serviceAccount, role },
      num_uses: 0,
      orphan: true,
      path: 'transit-bridge',
      policies: [],
      period: LIFETIME_SECONDS,
      renewable: true,
      ttl: LIFETIME_SECONDS,
      type: 'service',
    },
  })
}

function renew(): object {
  return envelope({
    auth: {
      client_token: PLACEHOLDER,
      accessor: '',
      policies: [],
      token_policies: [],
      metadata: null,
      lease_duration: LIFETIME_SECONDS,
      renewable: true,
      entity_id: '',
      token_type: 'service',
      orphan: true,
    },
  })
}

function respondMount(path: string, engines: readonly EnginePlace[]): PodResponse | undefined {
  const engine = engines.find(({ mount }) => path === mount || path.startsWith(`${mount}/`))
  if (engine === undefined) return undefined
  return respond(
    200,
    envelope({ data: { path: `${engine.mount}/`, type: 'transit', description: '', options: {} } }),
  )
}

/** The fields that Vault writes around `data` and `auth`. */
function envelope(content: { readonly data?: object; readonly auth?: object }): object {
  return {
    request_id: '',
    lease_id: '',
    renewable: false,
    lease_duration: 0,
    data: null,
    wrap_info: null,
    warnings: null,
    auth: null,
    ...content,
  }
}
