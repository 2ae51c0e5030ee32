import { dirname, normalize } from 'node:path'

import type { AuthConfig, Config } from '../../config/config.ts'
import { requireSection } from '../../config/section.ts'
import { namedFiles } from './named-files.ts'

/** The input of a node's files. All paths are paths on the host. */
export interface NodeFilesOptions {
  /** The configuration on the host. */
  readonly configFile: string
  readonly socket: string
  /** Files that the configuration names: CA, token, certificates. */
  readonly files: readonly string[]
  /** kms.localKeys.sealedFile: the plugin writes to its folder. */
  readonly sealedFile?: string | undefined
  /** kms.localKeys.nodeKeyFile: the plugin starts without it, too. */
  readonly nodeKeyFile?: string | undefined
  /** Where metrics are served; undefined if admin.listen is none. */
  readonly admin: { readonly host: string; readonly port: number } | undefined
  /** kms.socketGroup; if set, the pod needs the capability to change the group of its socket. */
  readonly socketGroup?: string | number | undefined
  /** The file that a timer must renew; undefined if the login uses no service-account token. */
  readonly token?: TokenFile | undefined
  /** The image, for static pod and DaemonSet. */
  readonly image: string
  /** For a pod on a host with SELinux, whose files it must read and write. Default: that of the container runtime. */
  readonly selinuxType?: string | undefined
  /** The installed program, for systemd. */
  readonly program: string
}

export interface TokenFile {
  readonly file: string
  readonly audience: string
}

/** The part of the input that no configuration contains. */
export type HostOptions = Pick<NodeFilesOptions, 'configFile' | 'image' | 'program' | 'selinuxType'>

/** The input of a node's files for a configuration of the KMS plugin. Throws CONFIG_INVALID without its section `kms`. */
export function nodeFilesFor(config: Config, host: HostOptions): NodeFilesOptions {
  const { socket, socketGroup, localKeys } = requireSection(config, 'kms')
  const { sealedFile, nodeKeyFile } = localKeys
  return {
    ...host,
    socket,
    socketGroup,
    sealedFile,
    nodeKeyFile,
    files: namedFiles(config),
    admin: config.admin.listen,
    token: tokenOf(config.vault.auth),
  }
}

function tokenOf(auth: AuthConfig): TokenFile | undefined {
  if (auth.method !== 'jwt' && auth.method !== 'kubernetes') return undefined
  return { file: auth.tokenFile, audience: auth.audience ?? 'vault' }
}

/**
 * The folders that a pod or a unit only reads: without duplicates, without folders inside another one, and without those that it
 * also writes to, because a folder can be mounted only once.
 */
export function readFoldersOf(options: NodeFilesOptions): readonly string[] {
  const written = writtenFoldersOf(options)
  const folders = [options.configFile, ...options.files].map(folderOf)
  const distinct = [...new Set(folders)].toSorted()
  return distinct.filter(
    (folder) =>
      !written.includes(folder) &&
      !distinct.some((other) => other !== folder && folder.startsWith(`${other}/`)),
  )
}

/** The folder of the socket and then, if it is another one, that of the sealed file. */
export function writtenFoldersOf({ socket, sealedFile }: NodeFilesOptions): readonly string[] {
  const files = sealedFile === undefined ? [socket] : [socket, sealedFile]
  return [...new Set(files.map(folderOf))]
}

function folderOf(file: string): string {
  return dirname(normalize(file))
}
