import type { CallContext } from '../call-context.ts'
import { BridgeError } from '../errors.ts'
import { encodeAssociatedData, makeAnnotations } from '../seed/annotations.ts'
import type { KeySnapshot } from '../seed/key-snapshot.ts'
import type { DecryptInput, DecryptResult, Transit } from '../transit/transit.ts'

const PLAINTEXT = Buffer.from('transit-bridge health check')

export interface KeyProofOptions {
  readonly transit: Pick<Transit, 'encrypt' | 'decrypt'>
  readonly keyName: string
  readonly clusterId: string
  /** Called when Vault denies `batch_input` and allows the same values one by one. */
  readonly onBatchDenied: (error: BridgeError) => void
}

/**
 * Proves that Vault does what the plugin relies on (docs/design.md, "Status"): it encrypts, decrypts one value and a
 * batch, and fails for a value whose AAD was changed.
 */
export class KeyProof {
  readonly #options: KeyProofOptions

  constructor(options: KeyProofOptions) {
    this.#options = options
  }

  /** Throws if the announced key version cannot be used; the error says why. */
  async prove({ keyVersion }: KeySnapshot, context: CallContext): Promise<void> {
    const { transit, keyName, clusterId } = this.#options
    const associatedData = encodeAssociatedData(makeAnnotations(clusterId))
    const changed = encodeAssociatedData(makeAnnotations(`${clusterId}, changed`))
    const input = { plaintext: PLAINTEXT, associatedData, keyVersion }
    const ciphertext = await transit.encrypt(keyName, input, context)
    const good = { ciphertext, associatedData }
    requirePlaintext(await this.#decryptOne(good, context))
    await this.#proveBatch(good, { ciphertext, associatedData: changed }, context)
  }

  /** Vault also denies a batch if the token was just revoked: only a second denial shows that a policy denies batches. */
  async #proveBatch(good: DecryptInput, bad: DecryptInput, context: CallContext): Promise<void> {
    if ((await this.#findBatchDenial(good, bad, context)) === undefined) return
    requireRefused(await this.#decryptOne(bad, context))
    const denial = await this.#findBatchDenial(good, bad, context)
    if (denial !== undefined) this.#options.onBatchDenied(denial)
  }

  /** One request shows both: a batch works, and AAD is authenticated in encrypt and decrypt. Returns why Vault denies it. */
  async #findBatchDenial(
    good: DecryptInput,
    bad: DecryptInput,
    context: CallContext,
  ): Promise<BridgeError | undefined> {
    const { transit, keyName } = this.#options
    try {
      const [ofGood, ofBad] = await transit.decrypt(keyName, [good, bad], context)
      requireRefused(ofBad)
      requirePlaintext(ofGood)
      return undefined
    } catch (error) {
      if (error instanceof BridgeError && error.code === 'VAULT_DENIED') return error
      throw error
    }
  }

  async #decryptOne(input: DecryptInput, context: CallContext): Promise<DecryptResult> {
    const { transit, keyName } = this.#options
    try {
      const [result] = await transit.decrypt(keyName, [input], context)
      if (result !== undefined) return result
    } catch (error) {
      if (error instanceof BridgeError && error.code === 'CIPHERTEXT_INVALID') return error
      throw error
    }
    throw wrongAnswer()
  }
}

function requirePlaintext(result: DecryptResult | undefined): void {
  if (Buffer.isBuffer(result)) {
    if (result.equals(PLAINTEXT)) return
    throw plaintextWrong()
  }
  // One request passed the AAD to Vault, and another lost it.
  if (result instanceof BridgeError && result.code === 'CIPHERTEXT_INVALID')
    throw aadIgnored(result)
  throw result instanceof BridgeError ? result : wrongAnswer()
}

function requireRefused(result: DecryptResult | undefined): void {
  if (Buffer.isBuffer(result)) throw result.equals(PLAINTEXT) ? aadIgnored() : plaintextWrong()
  if (result?.code !== 'CIPHERTEXT_INVALID') throw result ?? wrongAnswer()
}

function aadIgnored(cause?: BridgeError): BridgeError {
  return new BridgeError(
    'AAD_IGNORED',
    'Vault does not authenticate associated_data; use Vault 1.13 or newer, or OpenBao, and no proxy that changes requests',
    { cause },
  )
}

function plaintextWrong(): BridgeError {
  return new BridgeError(
    'PLAINTEXT_WRONG',
    'Vault decrypted a test value to something other than what it encrypted; check any proxy in front of Vault, which may mix up or change responses',
  )
}

function wrongAnswer(): BridgeError {
  return new BridgeError('VAULT_ANSWER_INVALID', 'Vault returned no result for a test value')
}
