import type { CallContext } from '../../call-context.ts'
import type { CancelTimer, Clock } from '../../time/clock.ts'
import { BridgeError, isOutage } from '../../errors.ts'
import type { Logger } from '../../telemetry/log.ts'
import { waitWithin } from '../../time/bounded-wait.ts'
import { wait } from '../../time/wait.ts'
import { FRESH_MS, HeldToken } from './held-token.ts'
import { LoginBackoff } from './login-backoff.ts'
import { LoginRecord, type SessionMetrics } from './login-record.ts'
import type { Login } from '../logins/login.ts'
import type { VaultRequest, VaultRequester, VaultResponse } from '../client/request.ts'
import { TokenRetirement } from './token-retirement.ts'
import { isDenial, TokenSender } from './token-sender.ts'

const LOGIN_TIMEOUT_MS = 4_000
/** How often one request waits for another login, so that calls do not pile up during a long outage. */
const MAX_LOGIN_WAITS = 4

export interface VaultSessionOptions {
  readonly client: VaultRequester
  readonly login: Login
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: SessionMetrics
  /** From 0 up to 1, for jitter; default: Math.random. */
  readonly random?: () => number
  /** How long one login may take, regardless of the deadlines of its callers; default: 4000. */
  readonly loginTimeoutMs?: number
}

/** Requests to Vault under one identity: the session gets the token, keeps it fresh, and adds it to each request. */
export interface VaultSession extends VaultRequester {
  /**
   * Starts the first login without waiting for it, and keeps a token ready by timers from then on. A
   * session that is not started has no timers and logs in when a request needs it.
   */
  start(): void
  /** Resolves when there is a usable token, after a login if needed; throws the reason if there is none. */
  ready(context: CallContext): Promise<void>
  /** Ends the session and revokes its own tokens, as far as the deadline allows. Never throws. */
  stop(context: CallContext): Promise<void>
  /** Why there is no usable token now; undefined when there is one or no login has ended yet. */
  readonly fault: BridgeError | undefined
  /** Milliseconds since 1970, Infinity if never; undefined while there is no usable token. */
  readonly tokenExpiresAt: number | undefined
  /** How many requests Vault accepts with one token; undefined without a limit, or while there is no token. */
  readonly tokenMaxUses: number | undefined
}

/** A session that is not started yet; see {@link VaultSession}. */
export function createVaultSession(options: VaultSessionOptions): VaultSession {
  return new Session(options)
}

class Session implements VaultSession {
  readonly #login: Login
  readonly #clock: Clock
  readonly #random: () => number
  readonly #loginTimeoutMs: number
  readonly #log: Logger
  readonly #record: LoginRecord
  readonly #backoff: LoginBackoff
  readonly #sender: TokenSender
  readonly #retirement: TokenRetirement
  #current: HeldToken | undefined
  #inFlight: Promise<HeldToken> | undefined
  /** Why the login in flight has to be tried again. */
  #retryReason: BridgeError | undefined
  /** Requests that wait for the login in flight. They learn why it is tried again, as they do of their own retries. */
  readonly #waiting = new Set<CallContext>()
  #cancelTimer: CancelTimer | undefined
  /** When a denial last caused a login, by {@link Clock.monotonic}. */
  #replacedAt = -Infinity
  #started = false
  #stopped = false

  constructor(options: VaultSessionOptions) {
    const { client, login, clock, log, metrics } = options
    this.#login = login
    this.#clock = clock
    this.#log = log
    this.#random = options.random ?? Math.random
    this.#loginTimeoutMs = options.loginTimeoutMs ?? LOGIN_TIMEOUT_MS
    this.#retirement = new TokenRetirement({ client, clock, log, timeoutMs: this.#loginTimeoutMs })
    this.#backoff = new LoginBackoff(clock, this.#random)
    this.#sender = new TokenSender({ client, clock, isStopped: () => this.#stopped })
    this.#record = new LoginRecord({ method: login.method, clock, log, metrics })
  }

  get fault(): BridgeError | undefined {
    const usable = this.#usable()
    return usable === undefined || usable.denied ? this.#backoff.error : undefined
  }

  get tokenExpiresAt(): number | undefined {
    return this.#usable()?.expiresAt
  }

  get tokenMaxUses(): number | undefined {
    return this.#usable()?.grant.maxUses
  }

  start(): void {
    if (this.#started || this.#stopped) return
    this.#started = true
    this.#wake()
  }

  async stop(context: CallContext): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    this.#cancelTimer?.()
    const ending = this.#end(context)
    await waitWithin(ending, context, this.#clock, 'tokens to be revoked').catch(() => {
      this.#log.debug('stopped before every token of this session was revoked')
    })
  }

  async ready(context: CallContext): Promise<void> {
    const held = await this.#acquire(context)
    held.release()
  }

  async request(request: VaultRequest, context: CallContext): Promise<VaultResponse> {
    const first = await this.#acquire(context)
    for (let held = first; ;) {
      try {
        return await this.#sender.send(request, context, held)
      } catch (thrown) {
        // The denial of a second token counts, unless its lease ended while the client tried the request again.
        const mayReplace = held === first || !held.isAlive(this.#clock)
        if (!isDenial(thrown) || !mayReplace) throw thrown
        const other = await this.#replacement(held, context)
        if (other === undefined) throw thrown
        held = other
      }
    }
  }

  /** A token that counts this request among its users until it is released. */
  async #acquire(context: CallContext): Promise<HeldToken> {
    if (this.#stopped) throw stopped()
    const usable = this.#usable()
    if (usable === undefined || !usable.acquire()) return this.#acquireNew(context)
    this.#loginIfDue()
    return usable
  }

  async #acquireNew(context: CallContext): Promise<HeldToken> {
    for (let waits = 0; ;) {
      try {
        const login = this.#inFlight ?? this.#newLogin()
        const held = await this.#await(login, context)
        if (this.#stopped) throw stopped()
        // Other requests that waited for this login may have spent its uses already.
        if (held.acquire()) return held
      } catch (thrown) {
        const error = BridgeError.from(thrown)
        // An outage explains more than a deadline that passed meanwhile.
        if (error.code === 'DEADLINE_EXCEEDED')
          throw this.#retryReason ?? this.#backoff.outage ?? error
        const pauseMs = this.#backoff.pauseAfter(error, context)
        if (pauseMs === undefined || waits === MAX_LOGIN_WAITS) throw error
        waits += 1
        context.onRetry?.(error)
        await wait(pauseMs, this.#clock, context.signal)
        if (context.signal?.aborted === true || this.#stopped) throw error
      }
    }
  }

  async #await(login: Promise<HeldToken>, context: CallContext): Promise<HeldToken> {
    if (this.#retryReason !== undefined) context.onRetry?.(this.#retryReason)
    this.#waiting.add(context)
    try {
      return await waitWithin(login, context, this.#clock, 'a login to Vault')
    } finally {
      this.#waiting.delete(context)
    }
  }

  /** The token to try after Vault denied this one; undefined when the denial is a refusal. */
  async #replacement(denied: HeldToken, context: CallContext): Promise<HeldToken | undefined> {
    if (this.#stopped) return undefined
    const usable = this.#usable()
    if (usable !== undefined && usable !== denied && usable.acquire()) return usable
    if (this.#inFlight === undefined && !this.#isSpent(denied)) return undefined
    this.#replacedAt = this.#clock.monotonic()
    return this.#acquireNew(context)
  }

  /** Whether another login may help: the token has expired, was revoked, or has no uses left. */
  #isSpent(denied: HeldToken): boolean {
    if (!denied.isFresh(this.#clock) || !denied.isAlive(this.#clock)) return true
    if (!denied.wasAccepted) return false
    // A young token was revoked, or a policy allows only some requests: that must not cause a login for each denial.
    // Retries inside the client spend uses, too.
    return denied.isLimited || this.#clock.monotonic() - this.#replacedAt >= FRESH_MS
  }

  #usable(): HeldToken | undefined {
    return this.#current?.isUsable(this.#clock) === true ? this.#current : undefined
  }

  /** Single-flight: every caller waits for the same login. Throws the last error until another one is allowed. */
  #newLogin(): Promise<HeldToken> {
    const { blocked } = this.#backoff
    if (blocked !== undefined) return Promise.reject(blocked)
    this.#inFlight = this.#attempt().finally(() => {
      this.#inFlight = undefined
      this.#retryReason = undefined
      this.#schedule()
    })
    return this.#inFlight
  }

  async #attempt(): Promise<HeldToken> {
    const began = { now: this.#clock.now(), monotonic: this.#clock.monotonic() }
    try {
      const context = {
        deadline: began.monotonic + this.#loginTimeoutMs,
        onRetry: (reason: BridgeError) => {
          if (isOutage(reason)) this.#noteRetry(reason)
        },
      }
      // A login may hang where no deadline applies (a file on a dead network mount); a later one must still be possible.
      const login = this.#login.login(context)
      const grant = await waitWithin(login, context, this.#clock, 'the login')
      return this.#adopt(new HeldToken(grant, began, this.#random()))
    } catch (thrown) {
      throw this.#failed(BridgeError.from(thrown))
    }
  }

  #noteRetry(reason: BridgeError): void {
    this.#retryReason = reason
    for (const { onRetry } of this.#waiting) onRetry?.(reason)
  }

  #adopt(held: HeldToken): HeldToken {
    const old = this.#current
    this.#current = held
    this.#backoff.succeeded()
    this.#record.succeeded(held)
    if (old !== undefined && old.token.reveal() !== held.token.reveal())
      this.#retirement.retire(old)
    return held
  }

  #failed(thrown: BridgeError): BridgeError {
    const error = asLoginError(thrown, this.#loginTimeoutMs, this.#retryReason)
    this.#backoff.failed(error)
    this.#record.failed(error, this.#usable())
    return error
  }

  #wake(): void {
    this.#loginIfDue()
    this.#schedule()
  }

  /** Starts a login in the background; its result is in the record and in `fault`. */
  #loginIfDue(): void {
    if (this.#inFlight !== undefined || this.#stopped) return
    if (this.#clock.monotonic() < this.#dueAt()) return
    this.#newLogin().catch(() => {})
  }

  #dueAt(): number {
    return this.#backoff.retryAt ?? this.#current?.renewAt ?? -Infinity
  }

  #schedule(): void {
    this.#cancelTimer?.()
    this.#cancelTimer = undefined
    const dueAt = this.#dueAt()
    if (!this.#started || this.#stopped || this.#inFlight !== undefined || dueAt === Infinity)
      return
    // A timer may fire early (setTimeout is limited to 24 days): #wake checks the clock and sleeps again.
    const pause = Math.max(1, dueAt - this.#clock.monotonic())
    this.#cancelTimer = this.#clock.after(pause, () => this.#wake())
  }

  async #end(context: CallContext): Promise<void> {
    await this.#inFlight?.catch(() => {})
    if (this.#current !== undefined) this.#retirement.retire(this.#current, context)
    this.#current = undefined
    this.#record.holds(undefined)
    await this.#retirement.done()
  }
}

function stopped(): BridgeError {
  return new BridgeError('CANCELLED', 'the Vault session has been stopped')
}

/** The deadline of a login is ours and not a caller's: when it passes, Vault has an outage. */
function asLoginError(
  error: BridgeError,
  timeoutMs: number,
  lastFailure: BridgeError | undefined,
): BridgeError {
  if (error.code !== 'DEADLINE_EXCEEDED') return error
  const message = `the login to Vault did not end within ${timeoutMs} ms`
  const reason = lastFailure === undefined ? '' : `: ${lastFailure.message}`
  return new BridgeError('VAULT_TIMEOUT', `${message}${reason}`, { cause: error })
}
