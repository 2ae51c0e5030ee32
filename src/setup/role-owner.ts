import { isUnset, readText, readTexts, type Settings } from '../operator/vault-settings.ts'
import type { WantedLogin } from './wanted.ts'

/** Whom a role is for, if it is not for the service account of the plugin: then it is not ours to change or remove. */
export function findStranger(login: WantedLogin, found: Settings): string | undefined {
  return login.method === 'jwt' ? ofJwt(login, found) : ofKubernetes(login, found)
}

function ofJwt({ serviceAccount }: WantedLogin, found: Settings): string | undefined {
  const type = readText(found['role_type'])
  if (type !== '' && type !== 'jwt') return `logins of type ${type}`
  const subject = readText(found['bound_subject'])
  if (subject === '')
    return isUnset(found['bound_claims']) ? undefined : 'identities with certain bound_claims'
  const { namespace, name } = serviceAccount
  return subject === `system:serviceaccount:${namespace}:${name}` ? undefined : subject
}

function ofKubernetes({ serviceAccount }: WantedLogin, found: Settings): string | undefined {
  const names = readTexts(found['bound_service_account_names'])
  const namespaces = readTexts(found['bound_service_account_namespaces'])
  if (admits(names, serviceAccount.name) && admits(namespaces, serviceAccount.namespace))
    return undefined
  return `the service accounts ${names.join(', ')} of the namespaces ${namespaces.join(', ') || 'that a selector chooses'}`
}

/** A role without names, or without namespaces, is bound to nothing in this respect. */
function admits(bounds: readonly string[], one: string): boolean {
  return bounds.length === 0 || bounds.includes('*') || bounds.includes(one)
}
