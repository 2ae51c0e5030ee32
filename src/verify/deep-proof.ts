import { LRUCache } from 'lru-cache'

import { BridgeError, type ErrorCode } from '../errors.ts'
import type { KmsV1Value, KmsV2Value } from '../storage/stored-value.ts'
import { findPayloadFault } from '../storage/payload.ts'
import {
  explainLocalProvider,
  findDamage,
  type Finding,
  type ParsedObject,
  type Proof,
} from './proof.ts'
import type { SourceReader } from '../storage/source-reader.ts'
import { identifySource } from '../storage/source-identity.ts'
import type { OpenedEnvelope } from '../seed/envelope.ts'
import { openSource } from '../storage/wrapped-source.ts'

export interface DeepProofOptions {
  readonly reader: Pick<SourceReader, 'read' | 'end'>
  readonly acceptVaultKubernetesKms: boolean
  /** Whether to decrypt every object, and not only its DEK source. */
  readonly objects: boolean
  /** Whether the key and the local keys are those of a sealed file, which may be older than the data. */
  readonly isOffline?: boolean
}

/** A DEK source that was decrypted (kept only with `objects`), or why it cannot be. */
type SourceState = { readonly source?: Buffer | undefined } | Finding

/** More than the objects of a page, so that no source of the current page is evicted. */
const MAX_SOURCES = 4096

const FOREIGN: Finding = {
  kind: 'unproven',
  why: 'another plugin wrote it, and only that plugin can decrypt it',
}

/** Faults against a copy of the Transit key, which the key in Vault may not have. */
const OF_KEY: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'KEY_ID_UNKNOWN',
  'KEY_VERSION_DISABLED',
])
const NOT_IN_FILE =
  'the Transit key had no such version, or had disabled it, when Vault last answered the plugin; run transit-bridge verify --deep to ask Vault'

/**
 * Decrypts every distinct DEK source once, with Transit or with the sealed file of a node; a source that was evicted is decrypted
 * again.
 */
export class DeepProof implements Proof {
  readonly #options: DeepProofOptions
  readonly #known = new LRUCache<string, SourceState>({
    max: MAX_SOURCES,
    dispose: (state) => wipe(state),
  })

  constructor(options: DeepProofOptions) {
    this.#options = options
  }

  async check(objects: readonly ParsedObject[]): Promise<readonly (Finding | undefined)[]> {
    await this.#learn(objects.flatMap(({ stored }) => (isKms(stored) ? [stored] : [])))
    return objects.map(({ key, stored }) => {
      if (isKms(stored)) return this.#judge(stored, key)
      return stored.kind === 'local' ? explainLocalProvider(stored) : findDamage(stored)
    })
  }

  end(): void {
    this.#known.clear()
    this.#options.reader.end()
  }

  #judge(value: KmsV1Value | KmsV2Value, key: Uint8Array): Finding | undefined {
    const state = this.#known.get(identifySource(value))
    if (state === undefined) throw new TypeError('a DEK source of this page was evicted')
    if ('kind' in state) return state
    if (state.source === undefined) return undefined
    const why = findPayloadFault(value, state.source, key)
    return why === undefined ? undefined : { kind: 'unreadable', why }
  }

  /** Decrypts all new sources of a page together. */
  async #learn(values: readonly (KmsV1Value | KmsV2Value)[]): Promise<void> {
    const ids: string[] = []
    const wrapped: OpenedEnvelope[] = []
    const seen = new Set<string>()
    for (const value of values) {
      const id = identifySource(value)
      // The lookup makes a known source the last to be evicted.
      if (seen.has(id) || this.#known.get(id) !== undefined) continue
      seen.add(id)
      const source = this.#open(value)
      if ('kind' in source) this.#known.set(id, source)
      else {
        ids.push(id)
        wrapped.push(source)
      }
    }
    const results = await this.#options.reader.read(wrapped)
    for (const [index, id] of ids.entries()) this.#known.set(id, this.#keep(results[index]))
  }

  #open(value: KmsV1Value | KmsV2Value): OpenedEnvelope | Finding {
    try {
      return openSource(value, this.#options.acceptVaultKubernetesKms) ?? FOREIGN
    } catch (error) {
      return this.#explain(BridgeError.from(error))
    }
  }

  #keep(result: Buffer | BridgeError | undefined): SourceState {
    if (result === undefined) throw new TypeError('there is no result for a DEK source')
    if (result instanceof BridgeError) return this.#explain(result)
    if (this.#options.objects) return { source: result }
    result.fill(0)
    return {}
  }

  #explain(error: BridgeError): Finding {
    const { code, message } = error
    if (code === 'INTERNAL') throw error
    // Vault may still be able to decrypt it.
    if (code === 'LOCAL_KEY_MISSING') return { kind: 'unproven', why: message, code }
    if (this.#options.isOffline === true && OF_KEY.has(code))
      return { kind: 'unproven', why: NOT_IN_FILE, code }
    return { kind: 'unreadable', why: `its DEK seed: ${message}`, code }
  }
}

function isKms(stored: ParsedObject['stored']): stored is KmsV1Value | KmsV2Value {
  return stored.kind === 'kms-v1' || stored.kind === 'kms-v2'
}

function wipe(state: SourceState): void {
  if ('source' in state) state.source?.fill(0)
}
