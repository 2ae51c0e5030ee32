import type { CallContext } from '../../src/call-context.ts'
import { BridgeError, type ErrorCode } from '../../src/errors.ts'
import { Secret } from '../../src/secret.ts'
import type { Grant, Login } from '../../src/vault/logins/login.ts'
import type { VaultRequest, VaultRequester, VaultResponse } from '../../src/vault/client/request.ts'
import { settle } from './clock.ts'

/** One call that waits for the test to end it. */
export class OpenCall<Given, Result> {
  readonly given: Given
  readonly context: CallContext
  readonly result: Promise<Result>
  #resolve: (result: Result) => void = () => {}
  #reject: (error: BridgeError) => void = () => {}

  constructor(given: Given, context: CallContext) {
    this.given = given
    this.context = context
    this.result = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
  }

  async answer(result: Result): Promise<void> {
    this.#resolve(result)
    await settle()
  }

  async fail(code: ErrorCode, message = `scripted ${code}`): Promise<void> {
    this.#reject(new BridgeError(code, message))
    await settle()
  }
}

/**
 * A Vault whose answers all come from the test, for orders of events that a real server cannot show on
 * demand (an old token's request that ends after the new login). What Vault really returns is tested with
 * a real one.
 */
export class ScriptedVault implements VaultRequester {
  readonly calls: OpenCall<VaultRequest, VaultResponse>[] = []

  request(request: VaultRequest, context: CallContext): Promise<VaultResponse> {
    const call = new OpenCall<VaultRequest, VaultResponse>(request, context)
    this.calls.push(call)
    return call.result
  }

  /** Operation and token of every request so far: "encrypt t1". */
  get seen(): string[] {
    return this.calls.map(({ given }) => `${given.operation} ${given.token?.reveal() ?? '-'}`)
  }

  call(index: number): OpenCall<VaultRequest, VaultResponse> {
    return at(this.calls, index)
  }
}

/** A login whose outcomes all come from the test. */
export class ScriptedLogin implements Login {
  readonly method = 'scripted'
  readonly calls: OpenCall<undefined, Grant>[] = []

  login(context: CallContext): Promise<Grant> {
    const call = new OpenCall<undefined, Grant>(undefined, context)
    this.calls.push(call)
    return call.result
  }

  /** Ends the newest login with a token. */
  async grant(token: string, given: Partial<Grant> = {}): Promise<void> {
    await this.call(this.calls.length - 1).answer({
      token: new Secret(token),
      leaseSeconds: 100,
      renewable: true,
      revocable: true,
      ...given,
    })
  }

  /** Ends the newest login with an error. */
  async fail(code: ErrorCode): Promise<void> {
    await this.call(this.calls.length - 1).fail(code)
  }

  call(index: number): OpenCall<undefined, Grant> {
    return at(this.calls, index)
  }
}

function at<T>(calls: readonly T[], index: number): T {
  const call = calls[index]
  if (call === undefined) throw new Error(`call ${index} was not made; there are ${calls.length}`)
  return call
}
