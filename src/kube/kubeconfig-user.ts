import { createPrivateKey, X509Certificate } from 'node:crypto'

import { Secret } from '../secret.ts'
import type { Impersonation, KubeAccess } from './access.ts'
import { kubeconfigFault, readPart, readText, resolvePart } from './kubeconfig-part.ts'
import type { UserPart } from './kubeconfig-shape.ts'

/** The credentials of a user. Throws CONFIG_INVALID. */
export async function readUser(
  file: string,
  user: UserPart,
  name: string,
): Promise<Omit<KubeAccess, 'server' | 'ca' | 'serverNames'>> {
  const fault = (words: string) => kubeconfigFault(file, `user ${JSON.stringify(name)} ${words}`)
  refuseUnsupported(user, fault)
  const { token, tokenFile } = user
  if (token === '' && tokenFile !== '')
    await readText(file, resolvePart(file, tokenFile), 'tokenFile ')
  return {
    certificate: await readCertificate(file, user, fault),
    token: token === '' ? undefined : new Secret(token),
    tokenFile: tokenFile === '' ? undefined : resolvePart(file, tokenFile),
    impersonation: readImpersonation(user, fault),
  }
}

type MakeFault = (words: string) => Error

function refuseUnsupported(user: UserPart, fault: MakeFault): void {
  for (const plugin of ['exec', 'auth-provider'] as const) {
    if (user[plugin] === undefined) continue
    throw fault(
      `logs in by ${plugin === 'exec' ? 'an exec plugin' : 'an auth-provider'}, which this program does not support; use a user with a client certificate or a token (kubectl create token)`,
    )
  }
  if (user.username !== '' || user.password !== '')
    throw fault('has a password, which no API server accepts')
}

async function readCertificate(file: string, user: UserPart, fault: MakeFault) {
  const cert = await readPart(file, 'client-certificate', {
    path: user['client-certificate'],
    data: user['client-certificate-data'],
  })
  const key = await readPart(file, 'client-key', {
    path: user['client-key'],
    data: user['client-key-data'],
  })
  if ((cert === undefined) !== (key === undefined))
    throw fault('has only one of client-certificate and client-key')
  if (cert === undefined || key === undefined) return undefined
  if (!isPair(cert, key))
    throw fault('has a client-certificate and a client-key that are damaged or do not match')
  return { cert, key: new Secret(key) }
}

function isPair(cert: string, key: string): boolean {
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))
  } catch {
    return false
  }
}

/** Whom requests act as (client-go: tools/clientcmd/validation.go, validateAuthInfo). */
function readImpersonation(user: UserPart, fault: MakeFault): Impersonation | undefined {
  const { as, 'as-uid': uid, 'as-groups': groups, 'as-user-extra': extra } = user
  const isMore = uid !== '' || groups.length > 0 || Object.keys(extra).length > 0
  if (as !== '') return { user: as, uid: uid === '' ? undefined : uid, groups, extra }
  if (isMore) throw fault('has as-uid, as-groups or as-user-extra without as; add as')
  return undefined
}
