import type { CallContext } from '../../call-context.ts'
import { BridgeError } from '../../errors.ts'
import { Secret } from '../../secret.ts'
import type { VaultOperation, VaultRequester } from '../client/request.ts'
import { readCredentialFile } from '../../files/credential-file.ts'
import { grantOfGivenToken, grantOfLogin } from './grant.ts'
import { isRefusal } from './login-request.ts'
import type { Grant, Login } from './login.ts'

export interface TokenLoginOptions {
  readonly client: VaultRequester
  readonly tokenFile: string
}

/**
 * Method token: somebody else made the token and keeps it in a file. A "login" takes a changed file's
 * token, else renews the one it has when it can be renewed, else looks how long it still lives. The token
 * is never revoked by us: it is not ours.
 */
export function tokenLogin(options: TokenLoginOptions): Login {
  const { client, tokenFile } = options
  let known: Grant | undefined
  return {
    method: 'token',
    async login(context) {
      const token = new Secret(await readToken(tokenFile))
      const held = known?.token.reveal() === token.reveal() ? known : undefined
      known = held?.renewable
        ? await renew(client, held, tokenFile, context)
        : await lookUp(client, token, tokenFile, context)
      return known
    },
  }
}

function readToken(path: string): Promise<string> {
  return readCredentialFile({
    path,
    setting: 'vault.auth.tokenFile',
    whenMissing: 'write a vault token there; it is looked for again before each login',
  })
}

async function lookUp(
  client: VaultRequester,
  token: Secret<string>,
  tokenFile: string,
  context: CallContext,
): Promise<Grant> {
  const request = tokenRequest('lookup_token', 'GET', 'auth/token/lookup-self', token)
  try {
    return grantOfGivenToken(token, await client.request(request, context))
  } catch (thrown) {
    throw isRefusal(thrown) ? explain(thrown, tokenFile) : thrown
  }
}

async function renew(
  client: VaultRequester,
  held: Grant,
  tokenFile: string,
  context: CallContext,
): Promise<Grant> {
  const request = tokenRequest('renew_token', 'POST', 'auth/token/renew-self', held.token)
  try {
    const renewed = grantOfLogin(await client.request({ ...request, body: {} }, context))
    return { ...renewed, token: held.token, revocable: false }
  } catch (thrown) {
    if (!isRefusal(thrown)) throw thrown
    // 400: past its explicit_max_ttl or no longer renewable, and yet alive; 403: maybe only the policy.
    return await lookUp(client, held.token, tokenFile, context)
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
    `vault refuses the token in vault.auth.tokenFile (${tokenFile}): ${refusal.message}; it has expired, was revoked, or its policies lack auth/token/lookup-self (read): write a new token to that file`,
    { cause: refusal },
  )
}
