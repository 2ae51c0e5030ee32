import { COMMON_FILES, socketFolder } from '../../config/file-needs.ts'
import type { NodeFilesOptions } from './node-files.ts'

/** Characters that have a special meaning in NODE_OPTIONS or in a grant. */
const SPECIAL = /[\s"\\*]/
const PROGRAM = '/app/dist/*'
/** Dropped by the plugin when the others are enough. Only the first grant of a file counts, so it is the last one. */
const EVERYTHING = '/'

/**
 * The options of Node.js, for NODE_OPTIONS, that restrict the plugin in a pod to the files of its configuration (docs/design.md,
 * "Permissions"). Undefined with a sealed file, because Node.js forbids fsync(2) under the permission model.
 */
export function permissionOptions(
  options: Pick<NodeFilesOptions, 'socket' | 'files' | 'sealedFile'>,
): string | undefined {
  const { socket, files, sealedFile } = options
  if (sealedFile !== undefined || [socket, ...files].some((path) => SPECIAL.test(path)))
    return undefined
  const folder = socketFolder(socket)
  const read = [...COMMON_FILES, PROGRAM, ...files, socket, folder, EVERYTHING]
  return [
    '--permission',
    '--no-experimental-sqlite',
    '--disable-warning=ExperimentalWarning',
    '--allow-net',
    ...read.map((path) => `--allow-fs-read=${path}`),
    ...[folder, EVERYTHING].map((path) => `--allow-fs-write=${path}`),
  ].join(' ')
}
