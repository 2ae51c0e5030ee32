import type { CallContext } from '../../call-context.ts'
import type { Clock } from '../../time/clock.ts'
import type { BridgeError, ErrorCode } from '../../errors.ts'
import { logKey, type Logger } from '../../telemetry/log.ts'
import type { VaultMetrics } from '../../telemetry/metrics/roles.ts'
import type { VaultRequest } from './request.ts'

/** Errors that only a working Vault returns. */
const FROM_WORKING_VAULT: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'VAULT_DENIED',
  'VAULT_REJECTED',
  'VAULT_NOT_FOUND',
  'VAULT_RATE_LIMITED',
  'CONTENT_TOO_LARGE',
])
/** Errors that do not concern Vault. */
const FROM_CALLER: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'DEADLINE_EXCEEDED',
  'CANCELLED',
  'INTERNAL',
])

export interface RequestFailure {
  /** Of the last attempt. */
  readonly address: string
  readonly error: BridgeError
  readonly startedAt: number
  /** Whether the request itself may have been too slow, so that it does not show that Vault is down. */
  readonly isSlow: boolean
}

/** Reports a request: one observation, and one log line if it failed. It never contains a part of a body. */
export class RequestReport {
  readonly #clock: Clock
  readonly #log: Logger
  readonly #metrics: Pick<VaultMetrics, 'vaultRequestDuration' | 'vaultUp'>
  #up: boolean | undefined

  constructor(
    clock: Clock,
    log: Logger,
    metrics: Pick<VaultMetrics, 'vaultRequestDuration' | 'vaultUp'>,
  ) {
    this.#clock = clock
    this.#log = log
    this.#metrics = metrics
  }

  answered(request: VaultRequest, startedAt: number): void {
    this.#observe(request, 'ok', this.#clock.monotonic() - startedAt)
    this.#setUp(true)
  }

  failed(
    request: VaultRequest,
    context: CallContext,
    { address, error, startedAt, isSlow }: RequestFailure,
  ): void {
    const durationMs = this.#clock.monotonic() - startedAt
    this.#observe(request, error.code.toLowerCase(), durationMs)
    if (!FROM_CALLER.has(error.code) && !isSlow) this.#setUp(FROM_WORKING_VAULT.has(error.code))
    this.#log.debug(
      {
        [logKey.operation]: request.operation,
        [logKey.address]: address,
        [logKey.code]: error.code,
        [logKey.durationMs]: Math.round(durationMs * 1000) / 1000,
        [logKey.reason]: error.message,
        [logKey.uid]: context.uid,
      },
      'vault request failed',
    )
  }

  #observe(request: VaultRequest, outcome: string, durationMs: number): void {
    const labels = { operation: request.operation, outcome }
    this.#metrics.vaultRequestDuration.observe(labels, durationMs / 1000)
  }

  #setUp(up: boolean): void {
    if (this.#up === up) return
    this.#up = up
    this.#metrics.vaultUp.set(up ? 1 : 0)
  }
}
