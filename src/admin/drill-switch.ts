import { createHash, timingSafeEqual } from 'node:crypto'
import { readFile } from 'node:fs/promises'

import type { CallContext } from '../call-context.ts'
import type { Clock } from '../time/clock.ts'
import type { DrillConfig } from '../config/config.ts'
import { BridgeError } from '../errors.ts'
import { explainShortage } from '../files/system-error.ts'
import type { Logger } from '../telemetry/log.ts'

export interface DrillSwitchOptions {
  readonly config: DrillConfig
  readonly clock: Clock
  readonly log: Logger
}

/** The caller that starts or ends a drill, as the admin server sees it. */
export interface DrillCall {
  readonly authorization: string | undefined
  readonly remoteAddress: string | undefined
}

export interface DrillAnswer {
  readonly status: number
  readonly text: string
}

/** A client of Vault; the switch needs to know only that it can fail. */
interface Requester<Q, R> {
  request(request: Q, context: CallContext): Promise<R>
}

const LOOPBACK = /^(::1|(::ffff:)?127\.\d+\.\d+\.\d+)$/
/** A shorter token could be guessed. */
const MIN_TOKEN_LENGTH = 16

/**
 * Disconnects the plugin from Vault for a drill: requests fail as if nothing listened there. Only callers on this host that
 * have the token can start a drill. It ends automatically, at the latest after the time that the configuration allows.
 */
export class DrillSwitch {
  readonly #options: DrillSwitchOptions
  #endsAt = -Infinity

  constructor(options: DrillSwitchOptions) {
    this.#options = options
  }

  /** Passes requests to Vault unless a drill runs. */
  wrap<Q, R>(vault: Requester<Q, R>): Requester<Q, R> {
    return {
      request: (request, context) => {
        if (this.#options.clock.monotonic() >= this.#endsAt) return vault.request(request, context)
        const message =
          'a drill disconnects this plugin from Vault (admin.drill); it ends automatically'
        return Promise.reject(new BridgeError('VAULT_UNREACHABLE', message))
      },
    }
  }

  /** Starts a drill of `seconds`, or changes the end of the one that runs. */
  async begin(call: DrillCall, seconds: number): Promise<DrillAnswer> {
    const refusal = await this.#refuse(call)
    if (refusal !== undefined) return refusal
    const { config, clock, log } = this.#options
    const most = Math.floor(config.maxDurationMs / 1000)
    if (!Number.isInteger(seconds) || seconds < 1 || seconds > most) {
      return {
        status: 400,
        text: `seconds must be a whole number from 1 to ${String(most)} (admin.drill.maxDuration)`,
      }
    }
    this.#endsAt = clock.monotonic() + seconds * 1000
    log.warn(`a drill disconnects this plugin from Vault for ${String(seconds)} s (admin.drill)`)
    return { status: 200, text: `the plugin is disconnected from Vault for ${String(seconds)} s` }
  }

  async end(call: DrillCall): Promise<DrillAnswer> {
    const refusal = await this.#refuse(call)
    if (refusal !== undefined) return refusal
    this.#endsAt = -Infinity
    this.#options.log.warn('the drill has ended')
    return { status: 200, text: 'the plugin can reach Vault again' }
  }

  async #refuse({ authorization, remoteAddress }: DrillCall): Promise<DrillAnswer | undefined> {
    if (remoteAddress === undefined || !LOOPBACK.test(remoteAddress))
      return { status: 403, text: 'a drill can be started only from this host' }
    const token = await readToken(this.#options.config.tokenFile)
    if (typeof token !== 'string') return token
    const isRight = timingSafeEqual(digest(`Bearer ${token}`), digest(authorization ?? ''))
    return isRight
      ? undefined
      : { status: 401, text: 'the token is not the one in admin.drill.tokenFile' }
  }
}

/** The token in the file, or what is answered without one. */
async function readToken(file: string): Promise<string | DrillAnswer> {
  let token = ''
  try {
    token = (await readFile(file, 'utf8')).trim()
  } catch (error) {
    const shortage = explainShortage(error)
    if (shortage !== undefined)
      return { status: 503, text: `admin.drill.tokenFile cannot be read now: ${shortage}` }
  }
  if (token.length >= MIN_TOKEN_LENGTH) return token
  return {
    status: 403,
    text: `admin.drill.tokenFile has no token of at least ${String(MIN_TOKEN_LENGTH)} characters`,
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
