import * as v from 'valibot'

import { COMMAND_RETRY_WAIT_MS } from '../call-context.ts'
import type { Clock } from '../time/clock.ts'
import { BridgeError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import type { VaultOperation, VaultRequest, VaultRequester } from '../vault/client/request.ts'
import type { Right, Values } from './right.ts'

/** Time limit of one request with all its retries. Enabling an engine writes to storage several times. */
const REQUEST_TIMEOUT_MS = 15_000

/** The data at a path of Vault, unchecked. */
export type Settings = Readonly<Record<string, unknown>>

export interface VaultSettingsOptions {
  readonly client: VaultRequester
  /** Undefined if the requester adds a token. */
  readonly token?: Secret<string> | undefined
  readonly clock: Clock
}

/** Reads and writes the settings of Vault. Every method throws the BridgeErrors of VaultRequester. */
export class VaultSettings {
  readonly #options: VaultSettingsOptions

  constructor(options: VaultSettingsOptions) {
    this.#options = options
  }

  /** The `data` at a path; undefined if there is none. */
  async read(path: string): Promise<Settings | undefined> {
    const body = await this.#ask('read_setting', 'GET', path)
    const data = asSettings(body)?.['data']
    return asSettings(data)
  }

  /** The names under a path; empty if there is nothing. */
  async list(path: string): Promise<readonly string[]> {
    const body = await this.#ask('list_settings', 'LIST', path)
    return readTexts(asSettings(asSettings(body)?.['data'])?.['keys'])
  }

  async write(path: string, body: Values): Promise<void> {
    await this.#request('write_setting', { method: 'POST', path, body })
  }

  /** As `write`, but never sent again after a failure: Vault may have carried it out. */
  async writeOnce(path: string, body: Values): Promise<void> {
    await this.#request('write_setting', { method: 'POST', path, body, isSentOnce: true })
  }

  async remove(path: string): Promise<void> {
    await this.#request('remove_setting', { method: 'DELETE', path })
  }

  /** What the token may do at each path. */
  async capabilities(paths: readonly string[]): Promise<ReadonlyMap<string, readonly string[]>> {
    if (paths.length === 0) return new Map()
    const request = { method: 'POST', path: 'sys/capabilities-self', body: { paths } } as const
    const { body } = await this.#request('look_up_rights', request)
    const answer = asSettings(body)
    // Vault and OpenBao return them at the top level and in `data`; for a single path also as `capabilities`.
    const found = asSettings(answer?.['data']) ?? answer ?? {}
    return new Map(paths.map((path) => [path, readTexts(found[path])]))
  }

  /** The rights that the token lacks, each with the missing capabilities. */
  async findMissing(rights: readonly Right[]): Promise<readonly Right[]> {
    const found = await this.capabilities([...new Set(rights.map(({ path }) => path))])
    return rights.flatMap(({ path, capabilities }) => {
      const held = found.get(path) ?? []
      if (held.includes('root')) return []
      const missing = capabilities.filter((one) => held.includes('deny') || !held.includes(one))
      return missing.length === 0 ? [] : [{ path, capabilities: missing }]
    })
  }

  async #ask(operation: VaultOperation, method: 'GET' | 'LIST', path: string): Promise<unknown> {
    try {
      return (await this.#request(operation, { method, path })).body
    } catch (thrown) {
      if (thrown instanceof BridgeError && thrown.code === 'VAULT_NOT_FOUND') return undefined
      throw thrown
    }
  }

  async #request(operation: VaultOperation, request: Omit<VaultRequest, 'operation'>) {
    const { client, token, clock } = this.#options
    try {
      return await client.request(
        { operation, ...request, token },
        {
          deadline: clock.monotonic() + REQUEST_TIMEOUT_MS,
          maxRetryWaitMs: COMMAND_RETRY_WAIT_MS,
        },
      )
    } catch (thrown) {
      throw namePath(thrown, request.path)
    }
  }
}

/** The client's message names the operation; the reader also needs the path. */
function namePath(thrown: unknown, path: string): unknown {
  if (!(thrown instanceof BridgeError)) return thrown
  return new BridgeError(thrown.code, `${path}: ${thrown.message}`, { cause: thrown })
}

/** An object with settings; undefined for anything else. */
export function asSettings(value: unknown): Settings | undefined {
  return v.is(v.record(v.string(), v.unknown()), value) ? value : undefined
}

/** A list of strings, as Vault returns it: null for none. */
export function readTexts(value: unknown): readonly string[] {
  if (typeof value === 'string') return value === '' ? [] : value.split(',')
  return v.is(v.array(v.string()), value) ? value : []
}

/** A string; empty for anything else. */
export function readText(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

/** Whether a setting has the value of one that was never set. */
export function isUnset(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0
  return value === undefined || value === null || value === '' || value === false || value === 0
}
