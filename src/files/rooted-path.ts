import { readlink } from 'node:fs/promises'
import { join, posix } from 'node:path'

import { BridgeError } from '../errors.ts'
import { systemCodeOf } from './system-error.ts'

/** As in path_resolution(7): more links than this count as a loop. */
const MAX_LINKS = 40

/**
 * Where this process finds a path of a host whose root folder is mounted at `root`. Symbolic links in its folders mean what
 * they mean on the host: /var/run -> /run is a folder under `root`, never one of this process. The last component is not
 * followed, and components that do not exist stay as they are. Throws HOST_FAILED for a loop.
 */
export async function resolveInRoot(root: string, path: string): Promise<string> {
  let folder = '/'
  let links = 0
  const left = componentsOf(path)
  for (let name = left.shift(); name !== undefined; name = left.shift()) {
    const next = posix.join(folder, name)
    const target = left.length === 0 ? undefined : await readLink(join(root, next))
    if (target === undefined) {
      folder = next
      continue
    }
    links += 1
    if (links > MAX_LINKS)
      throw new BridgeError('HOST_FAILED', `${path}: too many symbolic links on the host`)
    if (target.startsWith('/')) folder = '/'
    left.unshift(...componentsOf(target))
  }
  return join(root, folder)
}

function componentsOf(path: string): string[] {
  return path.split('/').filter((name) => name !== '' && name !== '.')
}

/** The target of a symbolic link; undefined if it is something else. */
async function readLink(path: string): Promise<string | undefined> {
  try {
    return await readlink(path)
  } catch (cause) {
    const code = systemCodeOf(cause)
    if (code === 'EINVAL' || code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new BridgeError('HOST_FAILED', `${path} cannot be read: ${code ?? 'unknown error'}`, {
      cause,
    })
  }
}
