import * as v from 'valibot'
import { BridgeError } from '../../errors.ts'
import { Secret } from '../../secret.ts'
import type { VaultResponse } from '../client/request.ts'
import type { Grant } from './login.ts'

const seconds = v.pipe(v.number(), v.finite(), v.minValue(0))
const nonEmpty = v.pipe(v.string(), v.minLength(1))

const loginAnswer = v.object({
  auth: v.object({
    client_token: nonEmpty,
    lease_duration: seconds,
    renewable: v.optional(v.boolean(), false),
    token_type: v.optional(v.string()),
    accessor: v.optional(v.string()),
    entity_id: v.optional(v.string()),
    policies: v.nullish(v.array(v.string())),
  }),
})

const tokenAnswer = v.object({
  data: v.object({
    ttl: seconds,
    renewable: v.optional(v.boolean(), false),
    accessor: v.optional(v.string()),
  }),
})

/** The grant in the answer to a login or to auth/token/renew-self. */
export function grantOfLogin(response: VaultResponse): Grant {
  const { auth } = parse(loginAnswer, response, 'a login without a usable "auth" part')
  return {
    token: new Secret(auth.client_token),
    leaseSeconds: auth.lease_duration,
    renewable: auth.renewable,
    revocable: !isBatchToken(auth.client_token, auth.token_type),
    ...accessorOf(auth.accessor),
    ...(auth.entity_id ? { entityId: auth.entity_id } : {}),
    ...(auth.policies ? { policies: auth.policies } : {}),
  }
}

/** The grant of a token that somebody gave us, from the answer to auth/token/lookup-self. */
export function grantOfGivenToken(token: Secret<string>, response: VaultResponse): Grant {
  const { data } = parse(
    tokenAnswer,
    response,
    'auth/token/lookup-self without a usable "data" part',
  )
  return {
    token,
    leaseSeconds: data.ttl,
    renewable: data.renewable,
    revocable: false,
    ...accessorOf(data.accessor),
  }
}

function isBatchToken(token: string, type: string | undefined): boolean {
  // Servers that do not tell the type mark batch tokens by prefix: "hvb." in Vault, "b." in OpenBao.
  return type === undefined ? /^(?:hv)?b\./.test(token) : type === 'batch'
}

function accessorOf(accessor: string | undefined): { accessor?: string } {
  return accessor === undefined || accessor === '' ? {} : { accessor }
}

/** The issues of a failed parse quote what they found, which may be a token: they are not kept. */
function parse<S extends v.GenericSchema>(
  schema: S,
  response: VaultResponse,
  what: string,
): v.InferOutput<S> {
  const parsed = v.safeParse(schema, response.body)
  if (parsed.success) return parsed.output
  throw new BridgeError(
    'VAULT_ANSWER_INVALID',
    `vault answered ${what} (status ${response.status}); is something else than vault at vault.address?`,
  )
}
