import { existsSync, readFileSync } from 'node:fs'

import type { EtcdAccess } from '../../etcd/access.ts'
import { findEtcd, type EtcdPlace } from '../../etcd/places.ts'
import {
  formatResource,
  isNeverEncrypted,
  knownResources,
  parseResource,
  type Resource,
} from '../../kube/resource.ts'
import { findNearest } from '../../text/nearest.ts'
import { BridgeError } from '../../errors.ts'
import { explainFileError } from '../../files/system-error.ts'
import { Secret } from '../../secret.ts'
import type { OptionValues } from './command.ts'

/** Gentle: a fifth of what a small etcd serves without noticing; a million objects take some minutes. */
const DEFAULT_RATE = 5_000
const HIGHEST_RATE = 1_000_000
const ETCD_OPTIONS = ['endpoints', 'cacert', 'cert', 'key', 'user', 'password-file'] as const

export type VerifySource =
  | { readonly kind: 'snapshot'; readonly file: string }
  | { readonly kind: 'etcd'; readonly access: EtcdAccess; readonly found?: EtcdPlace }

/** What the command line asks for, checked. */
export interface VerifyOptions {
  readonly source: VerifySource
  /** With a slash at both ends. */
  readonly prefix: string
  readonly resources?: readonly Resource[] | undefined
  readonly allowed: readonly Resource[]
  readonly encryptionConfig?: string | undefined
  readonly config?: string | undefined
  readonly deep: boolean
  readonly objects: boolean
  readonly skipHashCheck: boolean
  readonly rate?: number | undefined
  readonly json: boolean
}

/** Throws USAGE_INVALID with what would be right. */
export function readVerifyOptions(values: OptionValues): VerifyOptions {
  const source = readSource(values)
  const deep = values['deep'] === true
  const objects = values['objects'] === true
  const config = text(values, 'config')
  if (deep && config === undefined) throw mistake('--deep needs --config FILE, that of the plugin')
  if (objects && !deep) throw mistake('--objects needs --deep')
  if (config !== undefined && !deep) throw mistake('--config is for --deep alone')
  const skipHashCheck = values['skip-hash-check'] === true
  if (skipHashCheck && source.kind !== 'snapshot')
    throw mistake('--skip-hash-check needs --snapshot FILE')
  const resources = text(values, 'resources')
  const encryptionConfig = text(values, 'encryption-config')
  const rate = readRate(values, source)
  return {
    source,
    prefix: readPrefix(text(values, 'etcd-prefix') ?? '/registry'),
    resources: resources === undefined ? undefined : readResources('resources', resources),
    allowed: readResources('allow', text(values, 'allow') ?? ''),
    encryptionConfig,
    config,
    deep,
    objects,
    skipHashCheck,
    rate,
    json: values['json'] === true,
  }
}

function readSource(values: OptionValues): VerifySource {
  const file = text(values, 'snapshot')
  const given = ETCD_OPTIONS.filter((name) => values[name] !== undefined)
  if (file !== undefined) {
    if (given.length > 0)
      throw mistake(`--snapshot reads a file: leave out --${given.join(', --')}`)
    return { kind: 'snapshot', file }
  }
  if (given.length > 0) return { kind: 'etcd', access: readAccess(values) }
  const found = findEtcd(existsSync)
  if (found === undefined) {
    throw mistake(
      'needs --endpoints or --snapshot FILE: this host has no etcd files of kubeadm, k3s or rke2 that may be read',
    )
  }
  const { endpoint, caFile, certFile, keyFile } = found
  return { kind: 'etcd', access: { endpoints: [endpoint], caFile, certFile, keyFile }, found }
}

function readAccess(values: OptionValues): EtcdAccess {
  const [caFile, certFile, keyFile] = ['cacert', 'cert', 'key'].map((name) => text(values, name))
  if ((certFile === undefined) !== (keyFile === undefined))
    throw mistake('--cert and --key go together')
  const isTls = caFile !== undefined || certFile !== undefined
  const endpoints = (text(values, 'endpoints') ?? '127.0.0.1:2379')
    .split(',')
    .map((endpoint) => readEndpoint(endpoint.trim(), isTls))
  const login = readLogin(values)
  const isOpen = endpoints.some((endpoint) => endpoint.startsWith('http:'))
  if (isOpen && isTls)
    throw mistake('--endpoints has http://, over which --cacert, --cert and --key have no effect')
  if (isOpen && login !== undefined && !endpoints.every(isLoopback))
    throw mistake('--user would send its password in the clear; write https:// in --endpoints')
  return { endpoints, caFile, certFile, keyFile, login }
}

/** As etcdctl takes them: with a scheme or without. */
function readEndpoint(endpoint: string, isTls: boolean): string {
  const whole = endpoint.includes('://') ? endpoint : `${isTls ? 'https' : 'http'}://${endpoint}`
  const url = URL.parse(whole)
  const isRight =
    url !== null && /^https?:$/.test(url.protocol) && url.host !== '' && url.pathname === '/'
  if (!isRight || url.username !== '') {
    throw mistake(
      `--endpoints: ${JSON.stringify(endpoint)} is not an endpoint; write for example https://127.0.0.1:2379`,
    )
  }
  return url.origin
}

function isLoopback(endpoint: string): boolean {
  return ['127.0.0.1', '[::1]', 'localhost'].includes(new URL(endpoint).hostname)
}

function readLogin(values: OptionValues): EtcdAccess['login'] {
  const user = text(values, 'user')
  const file = text(values, 'password-file')
  if (user === undefined && file === undefined) return undefined
  if (user === undefined || file === undefined)
    throw mistake('--user and --password-file go together')
  try {
    const password = readFileSync(file, 'utf8').replace(/\r?\n$/, '')
    return { user, password: new Secret(password) }
  } catch (error) {
    throw mistake(`--password-file ${file}: cannot be read: ${explainFileError(error)}`)
  }
}

/** kube-apiserver adds the slash in front, too (apiserver: storage/etcd3/store.go). */
function readPrefix(prefix: string): string {
  const inner = prefix.replaceAll(/^\/+|\/+$/g, '')
  return inner === '' ? '/' : `/${inner}/`
}

function readResources(option: string, list: string): readonly Resource[] {
  const names = list.split(',').map((name) => name.trim())
  const resources = names
    .filter((name) => name !== '')
    .map((name) => (option === 'allow' ? readAllowed(name) : readResource(option, name)))
  return [...new Map(resources.map((each) => [formatResource(each), each])).values()]
}

/** Also the first part of a path that belongs to no known resource. A wrong name only makes the verdict stricter. */
function readAllowed(name: string): Resource {
  const resource = parseResource(name)
  if (resource !== undefined) return resource
  const isUnknown = findNearest(name, knownResources()) === undefined
  return isUnknown && /^[a-z0-9-]+$/.test(name) ? { name, group: '' } : readResource('allow', name)
}

function readResource(option: string, name: string): Resource {
  const never = parseResource(name)
  if (never !== undefined && isNeverEncrypted(never))
    throw mistake(`--${option}: kube-apiserver never encrypts ${name}`)
  const resource = parseResource(name)
  if (resource !== undefined) return resource
  const nearest = findNearest(name, knownResources())
  const hint =
    nearest === undefined
      ? 'custom resources are written with their group: NAME.GROUP'
      : `did you mean ${nearest}`
  throw mistake(`--${option}: ${JSON.stringify(name)} is not a resource of Kubernetes; ${hint}`)
}

/** Nobody else reads a file that was copied, so a snapshot has no limit unless it is given one. */
function readRate(values: OptionValues, source: VerifySource): number | undefined {
  const rate = text(values, 'rate')
  if (rate === undefined) return source.kind === 'etcd' ? DEFAULT_RATE : undefined
  const number = /^[1-9][0-9]*$/.test(rate) ? Number(rate) : NaN
  if (!(number <= HIGHEST_RATE))
    throw mistake(`--rate: is objects a second, a whole number from 1 to ${String(HIGHEST_RATE)}`)
  return number
}

function text(values: OptionValues, name: string): string | undefined {
  const value = values[name]
  return typeof value === 'string' ? value : undefined
}

function mistake(message: string): BridgeError {
  return new BridgeError('USAGE_INVALID', `verify: ${message}`)
}
