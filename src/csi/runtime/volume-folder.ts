import { chmod, lstat, mkdir, readdir, rmdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'

import { BridgeError } from '../../errors.ts'
import { systemCodeOf } from '../../files/system-error.ts'
import { DEAD_SOCKET, isNameBeside } from '../../grpc/private-folder.ts'
import type { RuntimeVolume } from './publish-request.ts'

const SOCKET_NAME = 'vault.sock'
/** The sockets in the temporary folder that grpc/unix-socket.ts leaves behind if it is interrupted. */
const privateSockets = (folder: string) => [folder, DEAD_SOCKET]
/** What to do about an error of the file system. */
const ADVICE: Readonly<Record<string, string>> = {
  ENOTEMPTY: 'it contains files that are not from this driver; remove them',
  EBUSY: 'something is mounted there; unmount it',
  ERR_ACCESS_DENIED:
    'the kubelet has its pods in another folder than its registrations; set csi.runtime.registrationSocket to a socket in plugins_registry of the same folder',
}
/** Any process of the pod may enter; on the host, only root can enter the pods folder of the kubelet. */
const FOLDER_MODE = 0o755

/** The folder that the kubelet mounts in the pod. Its path on the host is longer than the address of a socket may be. */
export class VolumeFolder {
  /** The path of the socket. */
  readonly socket: string
  readonly #target: string

  constructor({ targetPath }: Pick<RuntimeVolume, 'targetPath'>) {
    this.#target = targetPath
    this.socket = join(targetPath, SOCKET_NAME)
  }

  /** Creates the folder unless it exists. Throws HOST_FAILED. */
  async create(): Promise<void> {
    await this.#do('created', async () => {
      await mkdir(this.#target, { mode: FOLDER_MODE }).catch(ignore('EEXIST'))
      const found = await lstat(this.#target)
      if (!found.isDirectory())
        throw new BridgeError('HOST_FAILED', `${this.#target} is not a folder`)
      // The mode passed to mkdir(2) is subject to the umask.
      await chmod(this.#target, FOLDER_MODE)
    })
  }

  /** Whether the folder of a recorded volume still exists. */
  async exists(): Promise<boolean> {
    const found = await lstat(this.#target).catch(() => undefined)
    return found?.isDirectory() === true
  }

  /** Removes the socket and the folder if they exist, and nothing else. Throws HOST_FAILED. */
  async remove(): Promise<void> {
    await this.#do('removed', async () => {
      const names = (await readdir(this.#target).catch(ignore('ENOENT', 'ENOTDIR'))) ?? []
      for (const name of names.filter((found) => isNameBeside(this.socket, found))) {
        const folder = join(this.#target, name)
        for (const socket of privateSockets(name)) await removeSocket(join(folder, socket))
        await rmdir(folder).catch(ignore('ENOENT', 'ENOTDIR', 'ENOTEMPTY'))
      }
      await removeSocket(join(this.#target, SOCKET_NAME))
      await rmdir(this.#target).catch(ignore('ENOENT', 'ENOTDIR'))
    })
  }

  async #do(what: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (thrown) {
      if (thrown instanceof BridgeError) throw thrown
      const code = systemCodeOf(thrown) ?? 'unknown error'
      const advice =
        ADVICE[code] ?? "mount the kubelet's folder with the pods at the same path as on the host"
      throw new BridgeError(
        'HOST_FAILED',
        `the folder ${this.#target} of a volume cannot be ${what} (${code}): ${advice}`,
        { cause: thrown },
      )
    }
  }
}

/** Leaves anything that is not a socket. */
async function removeSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(ignore('ENOENT', 'ENOTDIR'))
  if (found?.isSocket() === true) await unlink(path).catch(ignore('ENOENT'))
}

function ignore(...codes: readonly string[]): (thrown: unknown) => undefined {
  return (thrown) => {
    if (codes.includes(systemCodeOf(thrown) ?? '')) return undefined
    throw thrown
  }
}
