import { hostname } from 'node:os'

import type { CsiRuntimeConfig } from '../../config/config.ts'
import { BridgeError } from '../../errors.ts'
import { startGrpcServer, type GrpcServer } from '../../grpc/server.ts'
import { UnaryFunnel } from '../../grpc/unary.ts'
import { logKey, type Logger } from '../../telemetry/log.ts'
import type { CsiMetrics } from '../../telemetry/metrics/roles.ts'
import type { Clock } from '../../time/clock.ts'
import type { EnginePlace } from '../engine-place.ts'
import type { AccessRules } from '../identity/access-rules.ts'
import type { SessionCache } from '../identity/session-cache.ts'
import { namePod } from '../mount-request.ts'
import { ByteBudget } from './byte-budget.ts'
import { ConnectionLimit } from './http/connection-limit.ts'
import { toErrorResponse } from './error-response.ts'
import { FairGate } from '../fair-gate.ts'
import { serveCsiDriver, serveRegistration, type RegistrationState } from './grpc.ts'
import { NodeService } from './node-service.ts'
import { PodApi, type PodIdentity } from './pod-api.ts'
import type { PodRequest, PodResponse } from './pod-request.ts'
import { RateLimit } from './rate-limit.ts'
import { RuntimeVolumes } from './runtime-volumes.ts'
import { VolumeRecords } from './volume-records.ts'
import { VolumeServer, type RequestGuard } from './http/volume-server.ts'

/** Half of the connections to Vault (vault/client/transport.ts), so that Mounts always find a free one. */
const MAX_RUNNING = 32
const MAX_PER_VOLUME = 64
/** The kubelet starts pods in parallel and repeats what fails. */
const MAX_CALLS_IN_FLIGHT = 512
/** Only the kubelet connects, as root. */
const SOCKET_MODE = 0o600
const STOP_GRACE_MS = 2_000

export interface RuntimeDriverOptions {
  /** csi.audience */
  readonly audience: string
  readonly runtime: CsiRuntimeConfig
  readonly home: EnginePlace
  readonly rules: AccessRules
  /** Shared with the provider of files: one login for both. */
  readonly sessions: SessionCache
  readonly programVersion: string
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: CsiMetrics
}

/** The CSI driver whose volumes contain a socket that serves Transit's API. */
export interface RuntimeDriver {
  /** Whether the kubelet can reach it. */
  readonly isServing: boolean
  readonly volumes: Pick<RuntimeVolumes, 'size' | 'sizeWithoutToken'>
  /** Requests of pods that Vault is answering now. */
  readonly requestsInFlight: number
  stop(): Promise<void>
}

/**
 * Serves the sockets of recorded volumes, then those for the kubelet. Throws SOCKET_* and HOST_FAILED. The registration comes
 * last, because the kubelet calls as soon as it finds that socket.
 */
export async function startRuntimeDriver(options: RuntimeDriverOptions): Promise<RuntimeDriver> {
  const { audience, runtime, home, rules, sessions, programVersion, clock, log } = options
  const { driverName, stateFolder, nodeName = hostname() } = runtime
  const gate = new FairGate({ maxRunning: MAX_RUNNING, maxPerOwner: MAX_PER_VOLUME, clock })
  const api = new PodApi({ home, rules, sessions, gate, clock, programVersion })
  const budget = new ByteBudget()
  const connections = new ConnectionLimit()
  const funnel = createFunnel(options)
  const volumes = new RuntimeVolumes({
    records: new VolumeRecords(stateFolder, log),
    createServer: (identify) => {
      const limit = new RateLimit(runtime.maxRequestsPerSecond, clock)
      return new VolumeServer(
        (request) => answer(api, request, identify(), options),
        budget,
        connections,
        clock,
        guardRequests(limit, options),
      )
    },
    readToken: (volume, token) =>
      service.requireToken({ volume, tokens: JSON.stringify({ [audience]: { token } }) }),
    clock,
    log,
  })
  const service = new NodeService({
    driverName,
    audience,
    home,
    rules,
    sessions,
    volumes,
    clock,
    log,
  })
  await volumes.restore()
  const access = { mode: SOCKET_MODE }
  let registered: RegistrationState = 'waiting'
  const facts = { driverName, programVersion, nodeName, registration: () => registered }
  const onState = (state: RegistrationState) => void (registered = state)
  const node = await startGrpcServer({
    socket: runtime.socket,
    access,
    services: serveCsiDriver(service, funnel, facts),
    clock,
    log,
  })
  const registration = await startGrpcServer({
    socket: runtime.registrationSocket,
    access,
    services: [serveRegistration(funnel, { driverName, socket: runtime.socket, log, onState })],
    clock,
    log,
  })
  return {
    get isServing() {
      return node.isServing && registration.isServing
    },
    volumes,
    get requestsInFlight() {
      return gate.running
    },
    stop: async () => {
      await stopServers([registration, node])
      await volumes.stop()
    },
  }
}

async function stopServers(servers: readonly GrpcServer[]): Promise<void> {
  await Promise.all(servers.map((server) => server.stop(STOP_GRACE_MS)))
}

/** Limits the requests of one volume, and measures those that are refused before their answer. */
function guardRequests(
  limit: RateLimit,
  { clock, metrics }: Pick<RuntimeDriverOptions, 'clock' | 'metrics'>,
): RequestGuard {
  return {
    admit: () => {
      if (limit.take()) return
      throw new BridgeError(
        'OVERLOADED',
        'this volume sends more requests per second than csi.runtime.maxRequestsPerSecond',
      )
    },
    refused: (response, startedAt) => {
      const seconds = (clock.monotonic() - startedAt) / 1000
      const labels = { operation: 'none', code: labelOf(response) }
      metrics.csiRuntimeRequestDuration.observe(labels, seconds)
    },
  }
}

/** One request: answer, error to response, metric, log line. */
async function answer(
  api: PodApi,
  request: PodRequest,
  identity: PodIdentity,
  { clock, log, metrics }: RuntimeDriverOptions,
): Promise<PodResponse> {
  const startedAt = clock.monotonic()
  let operation = 'none'
  const response = await respond()
  const seconds = (clock.monotonic() - startedAt) / 1000
  const code = request.signal.aborted ? GONE : labelOf(response)
  metrics.csiRuntimeRequestDuration.observe({ operation, code }, seconds)
  return response

  async function respond(): Promise<PodResponse> {
    try {
      return await api.answer(request, identity, (name) => (operation = name))
    } catch (thrown) {
      const error = BridgeError.from(thrown)
      const line = {
        [logKey.namespace]: identity.volume.pod.namespace,
        [logKey.operation]: operation,
        [logKey.reason]: error.code,
      }
      const pod = namePod(identity.volume.pod)
      if (error.code === 'INTERNAL')
        log.error(
          { ...line, err: error },
          `a request of pod ${pod} failed because of a bug in transit-bridge`,
        )
      else log.debug(line, `a request of pod ${pod} was refused: ${error.message}`)
      return toErrorResponse(error)
    }
  }
}

/** The pod disconnected, so nobody receives a response; nginx logs the same. As 503, it would count as an outage of Vault. */
const GONE = '499'
/** What clients expect of Vault. */
const USUAL = new Set([200, 400, 404])

/**
 * The status as a metric label, from a closed set. A client can choose any status, even 503, for which an alert would fire. So an
 * unusual status that the client may have chosen counts as `2xx`, `4xx` or `5xx`.
 */
function labelOf({ status, isStatusOpen = false }: PodResponse): string {
  return isStatusOpen && !USUAL.has(status) ? `${String(status).charAt(0)}xx` : String(status)
}

function createFunnel({ clock, log, metrics }: RuntimeDriverOptions): UnaryFunnel {
  return new UnaryFunnel({
    clock,
    log,
    onCall: (method, code, seconds) => {
      if (method === 'NodePublishVolume')
        metrics.csiRuntimePublishDuration.observe({ code }, seconds)
    },
    maxInFlight: MAX_CALLS_IN_FLIGHT,
    limitSetting: '',
  })
}
