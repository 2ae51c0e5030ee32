import { createHash, createPublicKey } from 'node:crypto'

import { change, join, remark, type Plan } from './plan.ts'
import type { Values } from '../operator/right.ts'
import { isUnset, readText, readTexts, type Settings } from '../operator/vault-settings.ts'
import type { JwtLogin, JwtMount } from './wanted.ts'

/** The role of the plugin: one service account, one audience, one policy. */
export function jwtRole(login: JwtLogin, policy: string): Values {
  const { namespace, name } = login.serviceAccount
  return {
    role_type: 'jwt',
    user_claim: 'sub',
    bound_audiences: [login.audience],
    bound_subject: `system:serviceaccount:${namespace}:${name}`,
    token_policies: [policy],
    token_num_uses: 0,
  }
}

/** The settings that setup writes, or writes again as they are. */
const WRITTEN = new Set([
  'bound_issuer',
  'jwt_validation_pubkeys',
  'default_role',
  'jwt_supported_algs',
])
/** Settings that Vault returns with a default value, and that affect only browser logins or nothing. */
const BY_ITSELF = new Set(['namespace_in_state', 'status'])

/**
 * The method's configuration: issuer and pinned keys, so that Vault checks a login offline. Existing keys
 * that the cluster does not publish stay, since tokens of a replaced key may still be in use; setup warns about them.
 * A write replaces the whole configuration, so a setting that setup does not know stops it.
 */
export function planJwtConfig(login: JwtMount, found: Settings | undefined): Plan {
  const what = `auth/${login.mount}/`
  const path = `auth/${login.mount}/config`
  const others = Object.entries(found ?? {})
    .filter(([name, value]) => !WRITTEN.has(name) && !BY_ITSELF.has(name) && !isUnset(value))
    .map(([name]) => name)
  if (others.length > 0) {
    const text = `${what} is in use with ${others.join(', ')}, which pinned keys would replace; set ${login.setting} to another mount, or change it by hand`
    return remark('stop', text)
  }
  const issuer = readText(found?.['bound_issuer'])
  const theirs = readTexts(found?.['jwt_validation_pubkeys'])
  if (theirs.length > 0 && issuer !== '' && issuer !== login.issuer) {
    const text = `${what} is for the issuer ${issuer}, not ${login.issuer}; set ${login.setting} to another mount`
    return remark('stop', text)
  }
  const known = new Set(theirs.map(fingerprint))
  const missing = login.publicKeys.filter((key) => !known.has(fingerprint(key)))
  const published = new Set(login.publicKeys.map(fingerprint))
  const foreign = theirs.filter((key) => !published.has(fingerprint(key)))
  if (foreign.length > 0 && (issuer === '' || foreign.length === theirs.length))
    return stopAtForeign(foreign, login)
  const warnings = join(...foreign.map((key) => warnOfForeign(key, what)))
  if (missing.length === 0 && issuer === login.issuer) return warnings
  return join(
    change({
      action: theirs.length === 0 ? 'add' : 'change',
      what: `issuer and public keys at ${what}`,
      details: [
        `bound_issuer: ${login.issuer}`,
        ...missing.map((key) => `jwt_validation_pubkeys: add SHA256:${fingerprint(key)}`),
      ],
      wider:
        issuer === '' && theirs.length > 0
          ? [`${what} is wider: bound_issuer is empty, so it accepts any issuer`]
          : [],
      path,
      body: {
        ...keepOthers(found),
        bound_issuer: login.issuer,
        jwt_validation_pubkeys: [...theirs, ...missing],
      },
      needs: ['update'],
    }),
    warnings,
  )
}

/** A write replaces the whole configuration (vault-plugin-auth-jwt, path_config.go), so these settings are sent again. */
function keepOthers(found: Settings | undefined): Values {
  const role = readText(found?.['default_role'])
  const algorithms = readTexts(found?.['jwt_supported_algs'])
  return {
    ...(role === '' ? {} : { default_role: role }),
    ...(algorithms.length === 0 ? {} : { jwt_supported_algs: algorithms }),
  }
}

/** The usual issuer is the same in every cluster: only a key in common shows that the method is for this one. */
function stopAtForeign(foreign: readonly string[], { mount, setting }: JwtMount): Plan {
  const keys = foreign.map((key) => `SHA256:${fingerprint(key)}`).join(', ')
  const text =
    `auth/${mount}/ trusts public keys that the cluster does not publish (${keys}), so another cluster may log in there; ` +
    `set ${setting} to another mount; if these are replaced keys of this cluster, write the configuration without them`
  return remark('stop', text)
}

function warnOfForeign(key: string, what: string): Plan {
  const text =
    `${what} trusts a public key that the cluster does not publish, SHA256:${fingerprint(key)}: the holder of its private key can log in; ` +
    'unless it was replaced recently, write the configuration without it'
  return remark('warn', text)
}

/** SHA-256 of the key in DER, which kube-apiserver also uses as its key id; empty for what is not a key. */
export function fingerprint(pem: string): string {
  try {
    const der = createPublicKey(pem).export({ type: 'spki', format: 'der' })
    return createHash('sha256').update(der).digest('base64url')
  } catch {
    return ''
  }
}
