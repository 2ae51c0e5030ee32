import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as v from 'valibot'

import type { Environment } from '../environment.ts'
import { BridgeError } from '../errors.ts'

/**
 * How far a procedure is, in a small file that is replaced in one step, so that it can be killed at any time and go on.
 * It holds names and counts, never a key or a value.
 */
export class StateFile<Schema extends v.GenericSchema> {
  readonly path: string
  readonly #schema: Schema

  constructor(path: string, schema: Schema) {
    this.path = path
    this.#schema = schema
  }

  /** Undefined if there is none. Throws STATE_INVALID if it is something else. */
  async read(): Promise<v.InferOutput<Schema> | undefined> {
    const text = await readFile(this.path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw this.#fault(`cannot be read: ${error.code ?? error.name}`)
    })
    if (text === undefined) return undefined
    const parsed = v.safeParse(this.#schema, parseJson(text))
    if (parsed.success) return parsed.output
    throw this.#fault(
      'is no state of this command; give another --state, or remove it to begin anew',
    )
  }

  /** Replaces it; what was written is on the disk when this returns. */
  async write(state: v.InferInput<Schema>): Promise<void> {
    try {
      await mkdir(dirname(this.path), { recursive: true, mode: 0o700 })
      await writeFile(`${this.path}.new`, `${JSON.stringify(state, null, 2)}\n`, {
        mode: 0o600,
        flush: true,
      })
      await rename(`${this.path}.new`, this.path)
    } catch (error) {
      throw this.#fault(`cannot be written: ${codeOf(error)}`)
    }
  }

  async remove(): Promise<void> {
    await rm(this.path, { force: true })
  }

  /** Keeps a second run of the same procedure away until the returned function is called. Throws STATE_INVALID. */
  async lock(): Promise<() => Promise<void>> {
    const file = `${this.path}.lock`
    await mkdir(dirname(file), { recursive: true, mode: 0o700 }).catch(() => undefined)
    for (let tries = 0; tries < 2; tries += 1) {
      try {
        const handle = await open(file, 'wx', 0o600)
        await handle.writeFile(String(process.pid))
        await handle.close()
        return () => rm(file, { force: true })
      } catch (error) {
        if (codeOf(error) !== 'EEXIST') throw this.#fault(`cannot be written: ${codeOf(error)}`)
        const holder = Number(await readFile(file, 'utf8').catch(() => ''))
        if (isAlive(holder)) {
          throw this.#fault(`is in use by process ${String(holder)}; wait for it, or end it first`)
        }
        // Left by a process that was killed.
        await rm(file, { force: true })
      }
    }
    throw this.#fault('is in use by another process')
  }

  #fault(words: string): BridgeError {
    return new BridgeError('STATE_INVALID', `the state file ${this.path} ${words}`)
  }
}

/** Where state is kept unless --state says otherwise (XDG Base Directory Specification). */
export function stateFolder(environment: Environment): string {
  const { XDG_STATE_HOME: xdg, HOME: home } = environment
  if (xdg !== undefined && xdg !== '') return join(xdg, 'transit-bridge')
  if (home !== undefined && home !== '') return join(home, '.local', 'state', 'transit-bridge')
  throw new BridgeError('USAGE_INVALID', 'HOME is not set; give --state FILE')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isAlive(pid: number): boolean {
  if (!Number.isInteger(pid) || pid <= 0) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
}
