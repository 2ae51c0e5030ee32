import { mkdir, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import * as v from 'valibot'

import type { Environment } from '../environment.ts'
import { BridgeError } from '../errors.ts'
import { removeFile, replaceFile } from './atomic-file.ts'
import { explainFileError, systemCodeOf } from './system-error.ts'

/**
 * The progress of a procedure in a small file that is replaced atomically, so that the procedure can be killed at any time
 * and resumed. It contains names and counts, never a key or a value.
 */
export class StateFile<Schema extends v.GenericSchema> {
  readonly path: string
  readonly #schema: Schema

  constructor(path: string, schema: Schema) {
    this.path = path
    this.#schema = schema
  }

  /** Undefined if there is no file. Throws STATE_INVALID if it cannot be read or does not match the schema. */
  async read(): Promise<v.InferOutput<Schema> | undefined> {
    const text = await readFile(this.path, 'utf8').catch((error: unknown) => {
      if (systemCodeOf(error) === 'ENOENT') return undefined
      throw this.#fault(`cannot be read: ${explainFileError(error)}`, error)
    })
    if (text === undefined) return undefined
    const parsed = v.safeParse(this.#schema, parseJson(text), { abortEarly: true })
    if (parsed.success) return parsed.output
    throw this.#fault(
      'does not contain the state of this command; pass another --state, or remove the file to start again',
    )
  }

  /** Replaces the file as {@link replaceFile} does. Throws STATE_INVALID. */
  async write(state: v.InferInput<Schema>): Promise<void> {
    try {
      await mkdir(dirname(this.path), { recursive: true, mode: 0o700 })
      const content = `${JSON.stringify(state, null, 2)}\n`
      await replaceFile({ path: this.path, mode: 0o600, content })
    } catch (error) {
      throw this.#fault(`cannot be written: ${explainFileError(error)}`, error)
    }
  }

  async remove(): Promise<void> {
    await removeFile(this.path)
  }

  /** Prevents a second run of the same procedure until the returned function is called. Throws STATE_INVALID. */
  async lock(): Promise<() => void> {
    const file = `${this.path}.lock`
    await mkdir(dirname(file), { recursive: true, mode: 0o700 }).catch(() => undefined)
    const { takeRunLock } = await import('./run-lock.ts')
    const lock = takeRunLock(file)
    if (typeof lock === 'object') return lock.release
    if (lock === 'in-use')
      throw this.#fault('is in use by another run; wait until it ends, or stop it')
    throw this.#fault(
      lock === 'not-a-lock'
        ? `cannot be locked: ${file} is not a lock of this program; remove it if no other run is active`
        : `cannot be locked: ${file} cannot be written`,
    )
  }

  #fault(problem: string, cause?: unknown): BridgeError {
    return new BridgeError('STATE_INVALID', `the state file ${this.path} ${problem}`, { cause })
  }
}

/** The default folder of state files (XDG Base Directory Specification). Throws USAGE_INVALID. */
export function stateFolder(environment: Environment): string {
  const { XDG_STATE_HOME: xdg, HOME: home } = environment
  if (xdg !== undefined && xdg !== '') return join(xdg, 'transit-bridge')
  if (home !== undefined && home !== '') return join(home, '.local', 'state', 'transit-bridge')
  throw new BridgeError('USAGE_INVALID', 'HOME is not set; pass --state FILE')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
