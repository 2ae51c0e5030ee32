import { randomUUID } from 'node:crypto'
import type { CallContext } from '../../call-context.ts'
import type { ServiceAccountToken } from '../../identity/service-account-token.ts'
import { BridgeError, isOutage } from '../../errors.ts'
import type { Clock } from '../../time/clock.ts'
import type { VaultResponse } from '../../vault/client/request.ts'
import { canonicalNamespace, placeOf, type EnginePlace } from '../engine-place.ts'
import type { AccessRules, RuntimeAccess } from '../identity/access-rules.ts'
import type { SessionCache } from '../identity/session-cache.ts'
import { namePod } from '../mount-request.ts'
import type { FairGate } from '../fair-gate.ts'
import { requireUsableStatus } from './chosen-status.ts'
import { recognizePath, type EngineRequest } from './operations.ts'
import { HEALTH, respondWithoutVault } from './own-responses.ts'
import type { RuntimeVolume } from './publish-request.ts'
import { respond, respondErrors, type PodRequest, type PodResponse } from './pod-request.ts'

/** Less than the timeout of Vault's Go client, which is 60 s (api/client.go). */
const REQUEST_TIMEOUT_MS = 20_000
/**
 * A path of Vault without escapes, and a query. It may still contain an empty segment or `..`. The whole path must then have one
 * of a fixed list of forms (operations.ts), which contain neither, except the empty segment that sigstore writes.
 */
const SAFE_TARGET = /^\/v1\/([\w.-]+(?:\/{1,2}[\w.-]+)*\/?)(?:\?([\w=&-]{0,500}))?$/
/** Matches in linear time, no matter how many slashes a client sends. */
const WITHOUT_OUTER_SLASHES = /^\/*(|.*[^/])\/*$/s
/** How Vault's Go client writes LIST. */
const LIST_QUERY = 'list=true'

export interface PodApiOptions {
  /** The engine of rules that name none. */
  readonly home: EnginePlace
  readonly rules: AccessRules
  readonly sessions: SessionCache
  readonly gate: FairGate
  readonly clock: Clock
  readonly programVersion: string
}

/** A volume as its socket knows it. */
export interface PodIdentity {
  readonly volume: RuntimeVolume
  /** The pod's current service-account token; undefined after a restart until the kubelet sends one. */
  readonly token: ServiceAccountToken | undefined
}

/** What rules allow a volume, which never changes. */
interface Allowed {
  readonly access: RuntimeAccess
  /** Those of its Vault namespace. */
  readonly engines: readonly EnginePlace[]
}

/**
 * Answers requests of pods in the form of Vault's HTTP API. Only paths of Transit that a rule allows reach Vault, with the Vault
 * token of the pod that the volume belongs to.
 */
export class PodApi {
  readonly #options: PodApiOptions
  /** The volumes whose last request Vault could not answer. What one pod sees does not depend on the requests of others. */
  readonly #unavailable = new WeakSet<RuntimeVolume>()
  readonly #allowed = new WeakMap<RuntimeVolume, Allowed>()

  constructor(options: PodApiOptions) {
    this.#options = options
  }

  /**
   * Throws BridgeErrors. Calls `note` with the operation, for metrics: one of Transit, or `own` for a request that is answered
   * without Vault.
   */
  async answer(
    request: PodRequest,
    identity: PodIdentity,
    note: (operation: string) => void,
  ): Promise<PodResponse> {
    const { volume } = identity
    const method = METHODS[request.method]
    const target = SAFE_TARGET.exec(request.target)
    if (target?.[1] === undefined) return unsupportedPath()
    if (method === undefined) return unsupportedMethod()
    const [, path, query = ''] = target
    const isList = query === LIST_QUERY
    if (query !== '' && !isList && path !== HEALTH) return unsupportedQuery()
    if (isList && method !== 'GET') return unsupportedMethod()
    this.#requireOwnNamespace(request, volume)
    if (request.wantsWrapping) {
      throw new BridgeError(
        'REQUEST_INVALID',
        'response wrapping is not supported here; remove X-Vault-Wrap-TTL',
      )
    }
    const { engines } = this.#allowedTo(volume)
    const own = this.#respondWithoutVault(
      isList ? 'LIST' : request.method === 'PUT' ? 'POST' : request.method,
      path,
      query,
      volume,
      engines,
    )
    if (own !== undefined) {
      note('own')
      return own
    }
    const engine = engines.find(({ mount }) => path.startsWith(`${mount}/`))
    if (engine === undefined) return deniedMount()
    const inner = path.slice(engine.mount.length + 1)
    const wanted = recognizePath(inner, isList || method === 'LIST' ? 'LIST' : method)
    if (wanted === undefined) return deniedPath()
    if (wanted === 'method') return unsupportedMethod()
    note(wanted.operation)
    return this.#pass(request, identity, engine, wanted)
  }

  #respondWithoutVault(
    method: string,
    path: string,
    query: string,
    volume: RuntimeVolume,
    engines: readonly EnginePlace[],
  ): PodResponse | undefined {
    const { clock, programVersion } = this.#options
    const isAvailable = !this.#unavailable.has(volume)
    const now = clock.now()
    return respondWithoutVault(method, path, {
      query,
      volume,
      engines,
      isAvailable,
      now,
      programVersion,
    })
  }

  #allowedTo(volume: RuntimeVolume): Allowed {
    const known = this.#allowed.get(volume)
    if (known !== undefined) return known
    const access = this.#options.rules.runtimeAccess(volume.pod, volume.role)
    const vaultNamespace = this.#namespaceOf(volume)
    const engines = access.engines.filter((engine) => engine.vaultNamespace === vaultNamespace)
    const allowed = { access, engines }
    this.#allowed.set(volume, allowed)
    return allowed
  }

  #namespaceOf({ vaultNamespace }: RuntimeVolume): string {
    return placeOf({ vaultNamespace }, this.#options.home).vaultNamespace
  }

  #requireOwnNamespace({ namespace }: PodRequest, volume: RuntimeVolume): void {
    if (namespace === undefined) return
    const own = this.#namespaceOf(volume)
    const [, sent = ''] = WITHOUT_OUTER_SLASHES.exec(namespace) ?? []
    if (canonicalNamespace(sent) === own) return
    throw new BridgeError(
      'RULE_DENIED',
      'permission denied: X-Vault-Namespace is not the Vault namespace of the volume; unset VAULT_NAMESPACE, or set vaultNamespace in volumeAttributes',
    )
  }

  async #pass(
    request: PodRequest,
    { volume, token }: PodIdentity,
    place: EnginePlace,
    wanted: EngineRequest,
  ): Promise<PodResponse> {
    const { sessions, clock } = this.#options
    const { access } = this.#allowedTo(volume)
    const { pod, role } = volume
    const { operation, key } = wanted
    access.require({ place, key, operation })
    requireUsableStatus(request.body)
    const session = sessions.open(requireToken(token), role, place.vaultNamespace)
    const context = {
      deadline: clock.monotonic() + REQUEST_TIMEOUT_MS,
      signal: request.signal,
      uid: `${namePod(pod)}/${randomUUID()}`,
    }
    const send = () =>
      session.use(() =>
        session.requester.request(
          {
            operation: wanted.vaultOperation,
            method: wanted.method,
            path: `${place.mount}/${wanted.path}`,
            body: wanted.method === 'POST' ? bodyOf(request) : undefined,
            passesOn: true,
            onBytes: request.onBytes,
          },
          context,
        ),
      )
    const answer = await this.#inTurn(volume, send, context)
    if (wanted.method !== 'LIST') return toResponse(answer)
    return filterKeys(answer, (name) => access.allows({ place, key: name, operation }))
  }

  /** A pod that sends more than Vault answers in time is at fault itself, unless Vault could not answer its last request. */
  async #inTurn(
    volume: RuntimeVolume,
    send: () => Promise<VaultResponse>,
    context: CallContext,
  ): Promise<VaultResponse> {
    let isSent = false
    const watched = () => {
      isSent = true
      return this.#watch(volume, send)
    }
    try {
      return await this.#options.gate.run(volume.id, watched, context)
    } catch (thrown) {
      const error = BridgeError.from(thrown)
      if (isSent || error.code !== 'DEADLINE_EXCEEDED' || this.#unavailable.has(volume)) throw error
      throw new BridgeError('OVERLOADED', `${error.message}; send fewer at once`, { cause: error })
    }
  }

  async #watch(volume: RuntimeVolume, send: () => Promise<VaultResponse>): Promise<VaultResponse> {
    try {
      const answer = await send()
      this.#unavailable.delete(volume)
      return answer
    } catch (thrown) {
      const error = BridgeError.from(thrown)
      if (isOutage(error)) this.#unavailable.add(volume)
      else this.#unavailable.delete(volume)
      throw error
    }
  }
}

/** PUT and POST have the same effect: the Go client sends PUT, most others send POST. */
const METHODS: Readonly<Record<string, 'POST' | 'GET' | 'LIST' | undefined>> = Object.assign(
  Object.create(null) as object,
  { GET: 'GET', HEAD: 'GET', POST: 'POST', PUT: 'POST', LIST: 'LIST' } as const,
)

function requireToken(token: ServiceAccountToken | undefined): ServiceAccountToken {
  if (token !== undefined) return token
  throw new BridgeError(
    'POD_TOKEN_MISSING',
    'the driver was restarted and waits for a token of this pod, which the kubelet sends about once a minute',
  )
}

/** Vault treats a request without a body as one without fields. */
function bodyOf({ body }: PodRequest): object {
  return body.length === 0 ? {} : body
}

function toResponse({ status, body }: VaultResponse): PodResponse {
  if (!Buffer.isBuffer(body)) throw new TypeError('a response that is passed on consists of bytes')
  return { status, body, isStatusOpen: true }
}

/** Removes the names of keys that no rule allows. */
function filterKeys(answer: VaultResponse, isAllowed: (name: string) => boolean): PodResponse {
  const { status, body } = toResponse(answer)
  if (status !== 200) return { status, body, isStatusOpen: true }
  const parsed = parseList(body)
  const names: unknown[] = Array.isArray(parsed.data?.keys) ? parsed.data.keys : []
  const keys = names.filter((name) => typeof name === 'string' && isAllowed(name))
  return respond(200, { ...parsed, data: { keys } })
}

/** The error of the parser is not kept, because it quotes the text. */
function parseList(body: Buffer): { data?: { keys?: unknown } } {
  try {
    return JSON.parse(body.toString('utf8')) as { data?: { keys?: unknown } }
  } catch {
    throw new BridgeError('VAULT_ANSWER_INVALID', 'the list of keys is not JSON of Vault')
  }
}

/** Vault also returns 403, whether or not the path exists. */
function deniedMount(): PodResponse {
  return respondErrors(403, [
    'permission denied: no rule in csi.rules of transit-bridge allows operations at a mount with this path',
  ])
}

function deniedPath(): PodResponse {
  return respondErrors(403, ['permission denied: run-time sockets do not serve this path'])
}

function unsupportedPath(): PodResponse {
  return respondErrors(404, [
    'no handler for this path: it does not begin with /v1/, or has characters that paths of Transit do not have',
  ])
}

function unsupportedQuery(): PodResponse {
  return respondErrors(400, ['query parameters other than list=true are not supported here'])
}

function unsupportedMethod(): PodResponse {
  return respondErrors(405, ['unsupported operation'])
}
