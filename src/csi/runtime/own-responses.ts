import type { EnginePlace } from '../engine-place.ts'
import type { RuntimeVolume } from './publish-request.ts'
import { respond, type PodResponse } from './pod-request.ts'

/**
 * Stands for a Vault token where a client expects one. It is not a token: the identity of a request is the socket that it
 * arrives on.
 */
const PLACEHOLDER = 'the-identity-is-the-volume'

/** Responses to what clients of Vault ask before they use Transit. They are made here, without a request to Vault. */
export interface OwnResponseOptions {
  readonly volume: RuntimeVolume
  readonly engines: readonly EnginePlace[]
  /** False after a request that Vault could not answer, until one that it could. */
  readonly isAvailable: boolean
  readonly now: number
  readonly programVersion: string
}

/** Undefined if the path is none of them. Paths have no leading `v1/`. */
export function respondWithoutVault(
  method: string,
  path: string,
  options: OwnResponseOptions,
): PodResponse | undefined {
  if (path === 'sys/health' && (method === 'GET' || method === 'HEAD'))
    return respondHealth(options)
  if (path === 'auth/token/lookup-self' && method === 'GET') return respond(200, lookUp(options))
  if (path === 'auth/token/renew-self' && method === 'POST') return respond(200, renew())
  const mounts = 'sys/internal/ui/mounts/'
  if (path.startsWith(mounts) && method === 'GET')
    return respondMount(path.slice(mounts.length), options.engines)
  return undefined
}

/** As sys/health of an active node, or of a sealed one while Vault is away. */
function respondHealth({ isAvailable, now, programVersion }: OwnResponseOptions): PodResponse {
  return respond(isAvailable ? 200 : 503, {
    initialized: true,
    sealed: !isAvailable,
    standby: false,
    performance_standby: false,
    replication_performance_mode: 'disabled',
    replication_dr_mode: 'disabled',
    server_time_utc: Math.floor(now / 1000),
    version: `transit-bridge ${programVersion}`,
  })
}

/** Clients read the lifetime and whether they must renew: there is nothing to renew. */
function lookUp({ volume }: OwnResponseOptions): object {
  const { pod, role } = volume
  return envelope({
    data: {
      id: PLACEHOLDER,
      accessor: '',
      display_name: `${pod.namespace}/${pod.name}`,
      entity_id: '',
      expire_time: null,
      explicit_max_ttl: 0,
      meta: { namespace: pod.namespace, service_account: pod.serviceAccount, role },
      num_uses: 0,
      orphan: true,
      path: 'transit-bridge',
      policies: [],
      renewable: false,
      ttl: 0,
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
      lease_duration: 0,
      renewable: false,
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
