import { createHash, createPublicKey } from 'node:crypto'

import { change, join, remark, type Plan } from './plan.ts'
import type { Values } from '../operator/right.ts'
import { readText, readTexts, type Settings } from '../operator/vault-settings.ts'
import type { JwtLogin } from './wanted.ts'

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

/**
 * The method's configuration: issuer and pinned keys, so that a login asks nobody. Keys that are there and that the
 * cluster does not publish stay, since tokens of a key that was replaced may still be in use; they are told.
 */
export function planJwtConfig(login: JwtLogin, found: Settings | undefined): Plan {
  const what = `auth/${login.mount}/`
  const path = `auth/${login.mount}/config`
  const source = ['jwks_url', 'oidc_discovery_url'].find((name) => (found?.[name] ?? '') !== '')
  if (source !== undefined) {
    const text = `${what} has its keys from ${source}, not pinned; set vault.auth.mount to another place, or change it by hand`
    return remark('stop', text)
  }
  const issuer = readText(found?.['bound_issuer'])
  const theirs = readTexts(found?.['jwt_validation_pubkeys'])
  if (theirs.length > 0 && issuer !== '' && issuer !== login.issuer) {
    const text = `${what} is for the issuer ${issuer}, not ${login.issuer}; set vault.auth.mount to another place`
    return remark('stop', text)
  }
  const known = new Set(theirs.map(fingerprint))
  const missing = login.publicKeys.filter((key) => !known.has(fingerprint(key)))
  const published = new Set(login.publicKeys.map(fingerprint))
  const foreign = theirs.filter((key) => !published.has(fingerprint(key)))
  const told = join(...foreign.map((key) => tellForeign(key, what)))
  if (missing.length === 0 && issuer === login.issuer) return told
  return join(
    change({
      action: theirs.length === 0 ? 'add' : 'change',
      what: `issuer and public keys at ${what}`,
      details: [
        `bound_issuer: ${login.issuer}`,
        ...missing.map((key) => `jwt_validation_pubkeys: and SHA256:${fingerprint(key)}`),
      ],
      wider:
        issuer === '' && theirs.length > 0
          ? [`${what} is wider: bound_issuer is empty, so any issuer will do`]
          : [],
      path,
      body: {
        ...keepOthers(found),
        bound_issuer: login.issuer,
        jwt_validation_pubkeys: [...theirs, ...missing],
      },
      needs: ['update'],
    }),
    told,
  )
}

/** A write replaces the whole configuration (vault-plugin-auth-jwt, path_config.go), so what somebody set is sent again. */
function keepOthers(found: Settings | undefined): Values {
  const role = readText(found?.['default_role'])
  const algorithms = readTexts(found?.['jwt_supported_algs'])
  return {
    ...(role === '' ? {} : { default_role: role }),
    ...(algorithms.length === 0 ? {} : { jwt_supported_algs: algorithms }),
  }
}

function tellForeign(key: string, what: string): Plan {
  const text =
    `${what} trusts a public key that the cluster does not publish, SHA256:${fingerprint(key)}: who has its private key can log in; ` +
    'if it is not one that was replaced lately, write the configuration without it'
  return remark('warn', text)
}

/** SHA-256 over the key in DER, which is the key id that kube-apiserver gives it, too; empty for what is no key. */
export function fingerprint(pem: string): string {
  try {
    const der = createPublicKey(pem).export({ type: 'spki', format: 'der' })
    return createHash('sha256').update(der).digest('base64url')
  } catch {
    return ''
  }
}
