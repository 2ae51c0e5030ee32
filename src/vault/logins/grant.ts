import * as v from 'valibot'
import { BridgeError } from '../../errors.ts'
import { Secret } from '../../secret.ts'
import type { VaultResponse } from '../client/request.ts'
import type { Grant } from './login.ts'

const seconds = v.pipe(v.number(), v.finite(), v.minValue(0))
const nonEmpty = v.pipe(v.string(), v.minLength(1))
/** 0 means that there is no limit. */
const uses = v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), 0)

const loginAnswer = v.object({
  auth: v.object({
    client_token: nonEmpty,
    lease_duration: seconds,
    num_uses: uses,
    renewable: v.optional(v.boolean(), false),
    token_type: v.optional(v.string()),
    accessor: v.optional(v.string()),
    entity_id: v.optional(v.string()),
    policies: v.nullish(v.array(v.string())),
  }),
})

const renewalAnswer = v.object({
  auth: v.object({ lease_duration: seconds, renewable: v.optional(v.boolean(), false) }),
})

const tokenAnswer = v.object({
  data: v.object({
    ttl: seconds,
    /** null for a token that never expires. */
    expire_time: v.nullish(v.string()),
    num_uses: uses,
    renewable: v.optional(v.boolean(), false),
    accessor: v.optional(v.string()),
  }),
})

/** The grant in the answer to a login. */
export function grantOfLogin(response: VaultResponse): Grant {
  const { auth } = parse(loginAnswer, response, 'a login without a usable "auth" part')
  return {
    token: new Secret(auth.client_token),
    leaseSeconds: auth.lease_duration === 0 ? Infinity : auth.lease_duration,
    maxUses: auth.num_uses || undefined,
    renewable: auth.renewable,
    revocable: !isBatchToken(auth.client_token, auth.token_type),
    accessor: auth.accessor || undefined,
    entityId: auth.entity_id || undefined,
    policies: auth.policies ?? undefined,
  }
}

/** The grant of a token from a file, in the answer to auth/token/lookup-self. */
export function grantOfGivenToken(token: Secret<string>, response: VaultResponse): Grant {
  const what = 'auth/token/lookup-self without a usable "data" part'
  const { data } = parse(tokenAnswer, response, what)
  // Vault rounds the time down: 0 is either a token that never expires, or one that is about to.
  const endless = data.ttl === 0 && (data.expire_time ?? '') === ''
  return {
    token,
    leaseSeconds: endless ? Infinity : data.ttl,
    maxUses: data.num_uses || undefined,
    renewable: data.renewable,
    revocable: false,
    accessor: data.accessor || undefined,
  }
}

/** The grant of a renewed token; undefined where the answer leaves open whether it has expired or never will. */
export function grantOfRenewal(renewed: Grant, response: VaultResponse): Grant | undefined {
  const { auth } = parse(renewalAnswer, response, 'a renewal without a usable "auth" part')
  if (auth.lease_duration === 0) return undefined
  return { ...renewed, leaseSeconds: auth.lease_duration, renewable: auth.renewable }
}

function isBatchToken(token: string, type: string | undefined): boolean {
  // Servers that do not return the type mark batch tokens by prefix: "hvb." in Vault, "b." in OpenBao.
  return type === undefined ? /^(?:hv)?b\./.test(token) : type === 'batch'
}

/** Without the issues of a failed parse: they quote what they found, which may be a token. */
function parse<S extends v.GenericSchema>(
  schema: S,
  response: VaultResponse,
  what: string,
): v.InferOutput<S> {
  const parsed = v.safeParse(schema, response.body, { abortEarly: true })
  if (parsed.success) return parsed.output
  throw new BridgeError(
    'VAULT_ANSWER_INVALID',
    `Vault answered ${what} (status ${response.status}); check that vault.address is the address of Vault`,
  )
}
