import type { CallContext } from '../../call-context.ts'
import { BridgeError } from '../../errors.ts'
import { Secret } from '../../secret.ts'
import type { Clock } from '../../time/clock.ts'
import type { VaultOperation, VaultRequester } from '../client/request.ts'
import { readCredentialFile } from '../../files/credential-file.ts'
import { grantOfGivenToken, grantOfRenewal } from './grant.ts'
import type { Grant, Login } from './login.ts'
import { digestOf, HARMLESS_REFUSAL, RefusalHold } from './refusal-hold.ts'
import { isRefusedLogin } from './refusal.ts'

export interface TokenLoginOptions {
  readonly client: VaultRequester
  readonly tokenFile: string
  readonly clock: Clock
}

/**
 * Method token: another program creates the token and keeps it in a file. A "login" takes the token of a changed
 * file, or else renews the current one if it is renewable, or else looks up how long it is still valid. We never
 * revoke the token, because that program owns it.
 */
export function tokenLogin({ client, tokenFile, clock }: TokenLoginOptions): Login {
  const hold = new RefusalHold(clock)
  let known: Grant | undefined
  return {
    method: 'token',
    async login(context) {
      const token = new Secret(await readToken(tokenFile))
      const digest = digestOf(token.reveal())
      hold.check(digest)
      const held = known?.token.reveal() === token.reveal() ? known : undefined
      try {
        known = held?.renewable
          ? await renew(client, held, context)
          : await lookUp(client, token, context)
      } catch (thrown) {
        if (!isRefusedLogin(thrown)) throw thrown
        throw hold.refused(digest, HARMLESS_REFUSAL, () => explain(thrown, tokenFile))
      }
      hold.clear()
      return known
    },
  }
}

function readToken(path: string): Promise<string> {
  return readCredentialFile({
    path,
    setting: 'vault.auth.tokenFile',
    whenMissing: 'write a Vault token to it; the file is read again before each login',
  })
}

async function lookUp(
  client: VaultRequester,
  token: Secret<string>,
  context: CallContext,
): Promise<Grant> {
  const request = tokenRequest('lookup_token', 'GET', 'auth/token/lookup-self', token)
  return grantOfGivenToken(token, await client.request(request, context))
}

async function renew(client: VaultRequester, held: Grant, context: CallContext): Promise<Grant> {
  const request = tokenRequest('renew_token', 'POST', 'auth/token/renew-self', held.token)
  try {
    const response = await client.request({ ...request, body: {} }, context)
    return grantOfRenewal(held, response) ?? (await lookUp(client, held.token, context))
  } catch (thrown) {
    if (!isRefusedLogin(thrown)) throw thrown
    // 400: past its explicit_max_ttl or no longer renewable, but still valid; 403: perhaps only the policy.
    return lookUp(client, held.token, context)
  }
}

function tokenRequest(
  operation: VaultOperation,
  method: 'GET' | 'POST',
  path: string,
  token: Secret<string>,
) {
  return { operation, method, path, token } as const
}

function explain(refusal: BridgeError, tokenFile: string): BridgeError {
  return new BridgeError(
    'LOGIN_REFUSED',
    `Vault refuses the token in vault.auth.tokenFile (${tokenFile}): ${refusal.message}; it has expired, was revoked or used up, or its policies lack auth/token/lookup-self (read): write a new token to that file`,
    { cause: refusal },
  )
}
