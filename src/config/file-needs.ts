import { dirname, normalize } from 'node:path'

import type { ProviderConfig } from './config.ts'

/** What a server may do with files: paths, or a folder and everything in it, as FOLDER/*. */
export interface FileNeeds {
  readonly read: readonly string[]
  readonly write: readonly string[]
}

/** What a server also reads: for the metrics of prom-client, and for kms.socketGroup. */
export const COMMON_FILES = [
  '/proc/self/stat',
  '/proc/self/status',
  '/proc/self/limits',
  '/proc/self/fd',
  '/etc/group',
] as const

/** The folder of a socket, in which the socket is created with other files beside it. */
export function socketFolder(socket: string): string {
  return `${dirname(normalize(socket))}/*`
}

/** The files that a configuration names for `kms` or `csi`: absolute paths. */
export function findFileNeeds(config: ProviderConfig, role: 'kms' | 'csi'): FileNeeds {
  const { kms, csi, ...common } = config
  const own = role === 'kms' ? kms : csi
  const folder = own === undefined ? [] : [socketFolder(own.socket)]
  return { read: [...COMMON_FILES, ...findPaths([common, own]), ...folder], write: folder }
}

function findPaths(value: unknown): readonly string[] {
  if (typeof value === 'string') return value.startsWith('/') ? [normalize(value)] : []
  if (typeof value !== 'object' || value === null) return []
  return Object.values(value).flatMap(findPaths)
}
