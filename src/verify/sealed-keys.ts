import { BridgeError } from '../errors.ts'
import { wipeLocalKeys, type OfflineState } from '../kms/local/sealed-format.ts'
import {
  encodeLocalKeyAssociatedData,
  identifyLocalKey,
  isLocalKeyContext,
} from '../seed/local-seal.ts'
import type { SourceReaderOptions } from '../storage/source-reader.ts'
import { allocateSecret } from '../text/secret-bytes.ts'
import type { TransitKey } from '../transit/key.ts'
import type { DecryptInput, DecryptResult } from '../transit/transit.ts'

/**
 * Answers with what a sealed file contains, as Transit would answer with what Vault contains: a plugin that starts without Vault has
 * nothing else. It owns the local keys of the file and zeroes them at its end.
 */
export class SealedKeys implements Pick<SourceReaderOptions['transit'], 'readKey' | 'decrypt'> {
  readonly #path: string
  readonly #state: Pick<OfflineState, 'key' | 'localKeys'>
  readonly #localKeys: ReadonlyMap<string, Buffer>

  /** `path` is for messages. */
  constructor(path: string, state: Pick<OfflineState, 'key' | 'localKeys'>) {
    this.#path = path
    this.#state = state
    this.#localKeys = new Map(
      state.localKeys.map(({ ciphertext, clusterId, key: localKey }) => [
        identifyLocalKey({ ciphertext, associatedData: encodeLocalKeyAssociatedData(clusterId) }),
        localKey,
      ]),
    )
  }

  get size(): number {
    return this.#localKeys.size
  }

  /** Whether each local key of another file is in this one. */
  includes(other: SealedKeys): boolean {
    return [...other.#localKeys.keys()].every((id) => this.#localKeys.has(id))
  }

  readKey(): Promise<TransitKey> {
    return Promise.resolve(this.#state.key)
  }

  decrypt(_key: string, inputs: readonly DecryptInput[]): Promise<DecryptResult[]> {
    return Promise.resolve(inputs.map((input) => this.#find(input)))
  }

  end(): void {
    wipeLocalKeys(this.#state)
  }

  #find(input: DecryptInput): DecryptResult {
    const found = this.#localKeys.get(identifyLocalKey(input))
    if (found === undefined) return new BridgeError('LOCAL_KEY_MISSING', this.#explain(input))
    const copy = allocateSecret(found.length)
    found.copy(copy)
    return copy
  }

  #explain({ associatedData }: DecryptInput): string {
    return isLocalKeyContext(associatedData)
      ? `its local key is not in ${this.#path}; restart the API server of this node while Vault answers, so that its plugin learns the key`
      : 'no local key encrypted it, so only Vault can decrypt it; run transit-bridge rotate'
  }
}
