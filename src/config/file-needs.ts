import { dirname, join, normalize } from 'node:path'

import type { CsiConfig, KmsConfig, ProviderConfig } from './config.ts'

/** What a server may do with files: paths, or a folder and everything in it, as FOLDER/*. */
export interface FileNeeds {
  readonly read: readonly string[]
  readonly write: readonly string[]
}

/** What a server also reads: for the metrics of prom-client, for kms.socketGroup, and for the age of a sealed file. */
export const COMMON_FILES = [
  '/proc/self/stat',
  '/proc/self/status',
  '/proc/self/limits',
  '/proc/self/fd',
  '/proc/uptime',
  '/proc/sys/kernel/random/boot_id',
  '/etc/group',
] as const

/** The folder of a socket or of the sealed file, which are created there with other files beside them. */
export function folderAround(path: string): string {
  return `${dirname(normalize(path))}/*`
}

/** The files that a configuration names for `kms` or `csi`: absolute paths. */
export function findFileNeeds(config: ProviderConfig, role: 'kms' | 'csi'): FileNeeds {
  const { kms, csi, ...common } = config
  const { files, folders } = role === 'kms' ? needsOfKms(kms) : needsOfCsi(csi)
  return { read: [...COMMON_FILES, ...findPaths([common, files]), ...folders], write: folders }
}

interface SectionNeeds {
  /** Each text in it that is a path. */
  readonly files: unknown
  /** Folders in which the server creates files. */
  readonly folders: readonly string[]
}

const NO_NEEDS: SectionNeeds = { files: undefined, folders: [] }

function needsOfKms(kms: KmsConfig | undefined): SectionNeeds {
  if (kms === undefined) return NO_NEEDS
  const { sealedFile } = kms.localKeys
  const written = sealedFile === undefined ? [kms.socket] : [kms.socket, sealedFile]
  return { files: kms, folders: written.map(folderAround) }
}

/**
 * For csi.runtime, also the folder in which the kubelet keeps the volumes of pods. It is always beside the folder of registrations
 * (kubernetes: pkg/kubelet/kubelet_getters.go, getPodsDir and getPluginsRegistrationDir).
 */
function needsOfCsi(csi: CsiConfig | undefined): SectionNeeds {
  if (csi === undefined) return NO_NEEDS
  const { runtime, ...files } = csi
  if (runtime === undefined) return { files, folders: [folderAround(csi.socket)] }
  const { socket, registrationSocket, stateFolder } = runtime
  const pods = join(dirname(dirname(normalize(registrationSocket))), 'pods')
  return {
    files,
    folders: [
      ...[csi.socket, socket, registrationSocket].map(folderAround),
      `${normalize(stateFolder)}/*`,
      `${pods}/*`,
    ],
  }
}

function findPaths(value: unknown): readonly string[] {
  if (typeof value === 'string') return value.startsWith('/') ? [normalize(value)] : []
  if (typeof value !== 'object' || value === null) return []
  return Object.values(value).flatMap(findPaths)
}
