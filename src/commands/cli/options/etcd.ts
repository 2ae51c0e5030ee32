import { existsSync, readFileSync } from 'node:fs'

import { socketOf, type EtcdAccess } from '../../../etcd/access.ts'
import { findEtcd, type EtcdDistribution } from '../../../etcd/distributions.ts'
import { explainFileError } from '../../../files/system-error.ts'
import { Secret } from '../../../secret.ts'
import { stripSlashes } from '../../../text/slashes.ts'
import {
  grouped,
  list,
  text,
  unreadableFile,
  usageError,
  type Option,
  type ValuesOf,
} from '../option.ts'

/** How a command connects to etcd, named as etcdctl names them. */
export const etcdAccessOptions = grouped('Etcd options', {
  endpoints: list(
    'LIST',
    'Endpoints of etcd, as for etcdctl: https://127.0.0.1:2379,... or, for kine, unix:///run/kine.sock',
  ),
  cacert: text('FILE', "CA certificate that signed etcd's certificate."),
  cert: text('FILE', 'Client certificate.'),
  key: text('FILE', 'Private key of the client certificate.'),
  user: text('NAME', 'User, if etcd authenticates users.'),
  passwordFile: text('FILE', 'File with the password of that user.'),
})

export const etcdPrefixOption = grouped('Etcd options', {
  etcdPrefix: {
    takes: 'PREFIX',
    help: "The API server's --etcd-prefix. Default: /registry",
    read: ([value = '/registry']) => readPrefix(value),
  } satisfies Option<string>,
})

/** Etcd of a cluster, for commands that read it only if it is named. */
export const etcdOptions = { ...etcdAccessOptions, ...etcdPrefixOption }

export type EtcdAccessValues = ValuesOf<typeof etcdAccessOptions>
export type EtcdValues = ValuesOf<typeof etcdOptions>

/** The etcd options that were given, as they are typed. */
export function givenEtcdOptions(values: EtcdAccessValues): readonly string[] {
  const { endpoints, cacert, cert, key, user, passwordFile } = values
  const given = { endpoints, cacert, cert, key, user, 'password-file': passwordFile }
  return Object.entries(given).flatMap(([name, value]) =>
    value === undefined ? [] : [`--${name}`],
  )
}

/** Whether the command line names an etcd. */
export function namesEtcd(values: EtcdAccessValues): boolean {
  return givenEtcdOptions(values).length > 0
}

/** The etcd that is named. Throws USAGE_INVALID. */
export function readEtcdAccess(values: EtcdAccessValues): EtcdAccess {
  const { cacert: caFile, cert: certFile, key: keyFile } = values
  if ((certFile === undefined) !== (keyFile === undefined))
    throw usageError('--cert and --key must be used together')
  const isTls = caFile !== undefined || certFile !== undefined
  const endpoints = (values.endpoints ?? ['127.0.0.1:2379']).map((one) => readEndpoint(one, isTls))
  const login = readLogin(values)
  const open = endpoints.find((endpoint) => !endpoint.startsWith('https:'))
  if (open !== undefined && isTls) {
    const scheme = open.slice(0, open.indexOf('//') + 2)
    throw usageError(`--endpoints has ${scheme}, where --cacert, --cert and --key have no effect`)
  }
  if (open !== undefined && login !== undefined && !endpoints.every(isLocal))
    throw usageError('--user would send its password unencrypted; write https:// in --endpoints')
  return { endpoints, caFile, certFile, keyFile, login }
}

/** The etcd of this host, where kubeadm, k3s or RKE2 keep it. Throws USAGE_INVALID if there is none. */
export function findHostEtcd(): { readonly access: EtcdAccess; readonly found: EtcdDistribution } {
  const found = findEtcd(existsSync)
  if (found === undefined)
    throw usageError(
      'needs --endpoints or --snapshot FILE: this host has no readable etcd certificates of kubeadm, k3s or RKE2, and no socket of kine',
    )
  const { endpoint, caFile, certFile, keyFile } = found
  return { access: { endpoints: [endpoint], caFile, certFile, keyFile }, found }
}

/** As etcdctl accepts them: with or without a scheme. */
function readEndpoint(endpoint: string, isTls: boolean): string {
  if (socketOf(endpoint)?.startsWith('/') === true) return endpoint
  const whole = endpoint.includes('://') ? endpoint : `${isTls ? 'https' : 'http'}://${endpoint}`
  const url = URL.parse(whole)
  const isRight =
    url !== null && /^https?:$/.test(url.protocol) && url.host !== '' && url.pathname === '/'
  if (!isRight || url.username !== '') {
    throw usageError(
      `--endpoints: ${JSON.stringify(endpoint)} is not an endpoint; write it like https://127.0.0.1:2379`,
    )
  }
  return url.origin
}

function isLocal(endpoint: string): boolean {
  if (socketOf(endpoint) !== undefined) return true
  return ['127.0.0.1', '[::1]', 'localhost'].includes(new URL(endpoint).hostname)
}

function readLogin({ user, passwordFile }: EtcdAccessValues): EtcdAccess['login'] {
  if (user === undefined && passwordFile === undefined) return undefined
  if (user === undefined || passwordFile === undefined)
    throw usageError('--user and --password-file must be used together')
  try {
    const password = readFileSync(passwordFile, 'utf8').replace(/\r?\n$/, '')
    return { user, password: new Secret(password) }
  } catch (error) {
    const message = `--password-file ${passwordFile}: cannot be read: ${explainFileError(error)}`
    throw unreadableFile(message, error)
  }
}

/** With a slash at both ends; kube-apiserver adds the first one, too (apiserver: storage/etcd3/store.go). */
function readPrefix(prefix: string): string {
  const inner = stripSlashes(prefix)
  return inner === '' ? '/' : `/${inner}/`
}
