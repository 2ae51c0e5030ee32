import { existsSync, lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { MountNamespace } from '../host/mount-namespace.ts'

/** The folder of a volume, as the containers of its pod see it. */
export class CsiVolume {
  readonly #mounts: MountNamespace
  readonly #path: string

  constructor(mounts: MountNamespace, path: string) {
    this.#mounts = mounts
    this.#path = path
  }

  /** The type of the file system that is mounted there, or undefined when none is. */
  get type(): string | undefined {
    return this.#mounts.mounts().findLast(({ path }) => path === this.#path)?.type
  }

  read(file: string): Buffer {
    return readFileSync(this.#view(file))
  }

  text(file: string): string {
    return this.read(file).toString('utf8')
  }

  json(file: string): unknown {
    return JSON.parse(this.text(file))
  }

  /** Permission bits, as `0400`. */
  mode(file: string): string {
    return `0${(statSync(this.#view(file)).mode & 0o7777).toString(8)}`
  }

  /** The folder that all files are in; the driver puts another in its place in one step. */
  get generation(): string {
    return readlinkSync(this.#view('..data'))
  }

  /** The paths of all files, in order, without what the driver has beside them. */
  files(): string[] {
    return [...this.#walk('')].toSorted()
  }

  *#walk(folder: string): Generator<string> {
    if (!existsSync(this.#view(folder))) return
    for (const name of readdirSync(this.#view(folder))) {
      if (name.startsWith('..')) continue
      const path = join(folder, name)
      if (statSync(this.#view(path)).isDirectory()) yield* this.#walk(path)
      else yield path
    }
  }

  /** Who owns a file, as `uid:gid`. */
  owner(file: string): string {
    const { uid, gid } = lstatSync(this.#view(file))
    return `${uid}:${gid}`
  }

  #view(file: string): string {
    return this.#mounts.view(join(this.#path, file))
  }
}
