import type { CallContext } from '../call-context.ts'
import { BridgeError } from '../errors.ts'
import { encodeAssociatedData, makeAnnotations } from '../seed/annotations.ts'
import type { KeySnapshot } from '../seed/key-snapshot.ts'
import type {
  DecryptInput,
  DecryptResult,
  EncryptInput,
  EncryptResult,
  Transit,
} from '../transit/transit.ts'

const PLAINTEXT = Buffer.from('transit-bridge health check')
/** All of a batch differ, so that a proof notices if results are not in the order of the values. */
const BATCHED = [Buffer.from('first value of a batch'), Buffer.from('second value of a batch')]

/**
 * The largest number of values in one request of a proof. A batch of decrypts also has the single ciphertext, with and without
 * its AAD.
 */
export const MAX_PROOF_VALUES = { encrypt: BATCHED.length, decrypt: BATCHED.length + 2 } as const

export interface KeyProofOptions {
  readonly transit: Pick<Transit, 'encrypt' | 'decrypt'>
  readonly keyName: string
  readonly clusterId: string
  /** Called when Vault denies `batch_input` to an operation and allows the same values one by one. */
  readonly onBatchDenied: (operation: 'encrypt' | 'decrypt', error: BridgeError) => void
}

/** A value that was encrypted for the proof. */
interface Sample extends DecryptInput {
  readonly plaintext: Buffer
}

/**
 * Proves that Vault does what the plugin relies on (docs/design.md, "Status"): it encrypts and decrypts one value and a batch,
 * each value of a batch for itself, and fails for a value whose AAD was changed.
 */
export class KeyProof {
  readonly #options: KeyProofOptions

  constructor(options: KeyProofOptions) {
    this.#options = options
  }

  /** Throws if the announced key version cannot be used; the error says why. */
  async prove({ keyVersion }: KeySnapshot, context: CallContext): Promise<void> {
    const { clusterId } = this.#options
    const associatedData = encodeAssociatedData(makeAnnotations(clusterId))
    const changed = encodeAssociatedData(makeAnnotations(`${clusterId}, changed`))
    const input = { plaintext: PLAINTEXT, associatedData, keyVersion }
    const good = {
      plaintext: PLAINTEXT,
      ciphertext: await this.#encryptOne(input, context),
      associatedData,
    }
    const batched = await this.#encryptBatch(input, context)
    requirePlaintext(await this.#decryptOne(good, context), good)
    const bad = { ciphertext: good.ciphertext, associatedData: changed }
    await this.#proveBatch([good, ...batched], bad, context)
  }

  async #encryptOne(input: EncryptInput, context: CallContext): Promise<string> {
    const { transit, keyName } = this.#options
    const [result] = await transit.encrypt(keyName, [input], context)
    return requireCiphertext(result)
  }

  /**
   * Returns the ciphertexts of a batch; none if a policy denies batches. If the batch lost the AAD, they cannot be decrypted with
   * it.
   */
  async #encryptBatch(input: EncryptInput, context: CallContext): Promise<readonly Sample[]> {
    const { transit, keyName } = this.#options
    const { associatedData } = input
    const work = async () => {
      const inputs = BATCHED.map((plaintext) => ({ ...input, plaintext }))
      const results = await transit.encrypt(keyName, inputs, context)
      return BATCHED.map((plaintext, index) => {
        return { plaintext, ciphertext: requireCiphertext(results[index]), associatedData }
      })
    }
    const found = await unlessDenied(work)
    if (!(found instanceof BridgeError)) return found
    await this.#encryptOne(input, context)
    const again = await unlessDenied(work)
    if (!(again instanceof BridgeError)) return again
    this.#options.onBatchDenied('encrypt', again)
    return []
  }

  /** Vault also denies a batch if the token was just revoked: only a second denial shows that a policy denies batches. */
  async #proveBatch(
    goods: readonly Sample[],
    bad: DecryptInput,
    context: CallContext,
  ): Promise<void> {
    const work = () => this.#decryptBatch(goods, bad, context)
    if (!((await unlessDenied(work)) instanceof BridgeError)) return
    requireRefused(await this.#decryptOne(bad, context))
    for (const good of goods) requirePlaintext(await this.#decryptOne(good, context), good)
    const denial = await unlessDenied(work)
    if (denial instanceof BridgeError) this.#options.onBatchDenied('decrypt', denial)
  }

  /** One request shows both: a batch works, and AAD is authenticated in encrypt and decrypt. */
  async #decryptBatch(
    goods: readonly Sample[],
    bad: DecryptInput,
    context: CallContext,
  ): Promise<void> {
    const { transit, keyName } = this.#options
    const results = await transit.decrypt(keyName, [...goods, bad], context)
    requireRefused(results[goods.length])
    for (const [index, good] of goods.entries()) requirePlaintext(results[index], good)
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

/** Returns the denial instead of throwing it. */
async function unlessDenied<T>(work: () => Promise<T>): Promise<T | BridgeError> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof BridgeError && error.code === 'VAULT_DENIED') return error
    throw error
  }
}

function requireCiphertext(result: EncryptResult | undefined): string {
  if (typeof result === 'string') return result
  throw result ?? wrongAnswer()
}

function requirePlaintext(result: DecryptResult | undefined, { plaintext }: Sample): void {
  if (Buffer.isBuffer(result)) {
    if (result.equals(plaintext)) return
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
