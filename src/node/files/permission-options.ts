import { COMMON_FILES, folderAround } from '../../config/file-needs.ts'
import type { NodeFilesOptions } from './node-files.ts'

/** Characters that have a special meaning in NODE_OPTIONS or in a grant. */
const SPECIAL = /[\s"\\*]/
const PROGRAM = '/app/dist/*'
/** Dropped by the plugin when the others are enough. Only the first grant of a file counts, so it is the last one. */
const EVERYTHING = '/'

/**
 * The options of Node.js, for NODE_OPTIONS, that restrict the plugin in a pod to the files of its configuration (docs/design.md,
 * "Permissions"). Undefined if a path contains a character that NODE_OPTIONS cannot have.
 */
export function permissionOptions(
  options: Pick<NodeFilesOptions, 'socket' | 'files' | 'sealedFile'>,
): string | undefined {
  const { socket, files, sealedFile } = options
  const written = sealedFile === undefined ? [socket] : [socket, sealedFile]
  if ([...written, ...files].some((path) => SPECIAL.test(path))) return undefined
  const folders = written.map(folderAround)
  const read = [...COMMON_FILES, PROGRAM, ...files, ...written, ...folders, EVERYTHING]
  return [
    '--permission',
    '--no-experimental-sqlite',
    '--disable-warning=ExperimentalWarning',
    '--allow-net',
    ...read.map((path) => `--allow-fs-read=${path}`),
    ...[...folders, EVERYTHING].map((path) => `--allow-fs-write=${path}`),
  ].join(' ')
}
