import type { CallContext } from '../call-context.ts'
import { BridgeError } from '../errors.ts'
import type { Secret } from '../secret.ts'
import { decodeBase64, encodeBase64 } from '../text/base64-bytes.ts'
import type { VaultRequest, VaultRequester, VaultResponse } from '../vault/client/request.ts'
import { cleanWords } from '../vault/client/wording.ts'
import { readCiphertextVersion } from './ciphertext.ts'
import { explainTransitFault, lacksVersion, rethrowTransitFault } from './fault.ts'
import { parseExportedKey } from './exported-key.ts'
import { parseTransitKey, showsOlderKey, type TransitKey } from './key.ts'
import type { ExportKind } from './private-key.ts'

export interface EncryptInput {
  readonly plaintext: Uint8Array
  readonly associatedData: Uint8Array
  /** The exact version to encrypt with, so that a rotation in the meantime has no effect. */
  readonly keyVersion: number
}

export interface DecryptInput {
  /** `vault:v<version>:<base64>` */
  readonly ciphertext: string
  readonly associatedData?: Uint8Array | undefined
  /** Only for a derived key, which needs one for each use. */
  readonly context?: Uint8Array | undefined
}

/** How a key is read. */
export interface KeyReading {
  readonly derivation?: Uint8Array | undefined
  /** A version that another node has: one that shows only older ones lags behind. */
  readonly knownVersion?: number | undefined
}

/** The result of one item of a batch: its plaintext, which the receiver owns and zeroes, or its error. */
export type DecryptResult = Buffer | BridgeError

/** The result of one item of a batch: its ciphertext in Transit's text form, or its error. */
export type EncryptResult = string | BridgeError

export interface TransitOptions {
  readonly vault: VaultRequester
  /** Where the Transit engine is mounted, without leading or trailing slash. */
  readonly mount: string
  /** Whether all encrypts take about equally long, and all decrypts: they have one key and short values. */
  readonly isUniform?: boolean | undefined
}

/** Transit as a typed API. Every method throws the BridgeErrors of VaultRequester and of `fault.ts`. */
export class Transit {
  readonly #vault: VaultRequester
  readonly #mount: string
  readonly #isUniform: boolean | undefined

  constructor(options: TransitOptions) {
    this.#vault = options.vault
    this.#mount = options.mount
    this.#isUniform = options.isUniform
  }

  /**
   * Versions and settings of a key; KEY_MISSING if there is none. A derived ed25519 key has public keys only with its
   * `derivation`, the context that Transit derives them from (path_keys.go).
   */
  async readKey(
    key: string,
    context: CallContext,
    { derivation, knownVersion = 0 }: KeyReading = {},
  ): Promise<TransitKey> {
    const query =
      derivation === undefined ? '' : `?context=${encodeURIComponent(toBase64(derivation))}`
    const path = `${this.#path('keys', key)}${query}`
    try {
      const answer = await this.#vault.request(
        {
          operation: 'read_key',
          method: 'GET',
          path,
          isBehind: ({ text }) => showsOlderKey(text, knownVersion),
        },
        context,
      )
      const found = parseTransitKey(answer.body)
      if (found.name === key) return found
      throw new BridgeError(
        'VAULT_ANSWER_INVALID',
        `Vault returned a transit key other than ${key}; check any proxy in front of Vault`,
      )
    } catch (error) {
      rethrowTransitFault(key, error)
    }
  }

  /**
   * Encrypts values in one request. Each ciphertext is checked to have the requested version. The fault of one value is its
   * result; a fault of the request is thrown, and so is that of a single value.
   */
  async encrypt(
    key: string,
    inputs: readonly EncryptInput[],
    context: CallContext,
  ): Promise<EncryptResult[]> {
    const items = inputs.map(encryptItem)
    const [first] = items
    try {
      if (items.length === 1 && first !== undefined) {
        const { answer } = await this.#post('encrypt', key, first, context)
        return [readCiphertext(dataOf(answer), first, key)]
      }
      const { request, answer } = await this.#post('encrypt', key, { batch_input: items }, context)
      return readBatch(request, answer, items, (result, item) => readCiphertext(result, item, key))
    } finally {
      for (const { plaintext } of items) plaintext.fill(0)
    }
  }

  /** Decrypts values in one request. The fault of one value is its result; a fault of the request is thrown. */
  async decrypt(
    key: string,
    inputs: readonly DecryptInput[],
    context: CallContext,
  ): Promise<DecryptResult[]> {
    const [first] = inputs
    if (inputs.length === 1 && first !== undefined) {
      const { answer } = await this.#post('decrypt', key, decryptItem(first), context)
      return [readPlaintext(dataOf(answer))]
    }
    const body = { batch_input: inputs.map(decryptItem) }
    const { request, answer } = await this.#post('decrypt', key, body, context)
    return readBatch(request, answer, inputs, readPlaintext)
  }

  /**
   * The material of an exportable key by version, in Transit's text form (base64, or PEM for RSA and ECDSA), which the
   * caller owns and zeroes. KEY_UNSUITABLE if the key is not exportable, KEY_MISSING if there is no such key,
   * KEY_VERSION_UNKNOWN if there is no such version.
   */
  async exportKey(
    key: string,
    kind: ExportKind,
    version: number | 'all',
    context: CallContext,
  ): Promise<ReadonlyMap<number, Secret<Buffer>>> {
    const place = this.#path(`export/${kind}`, key)
    const path = version === 'all' ? place : `${place}/${String(version)}`
    try {
      const answer = await this.#vault.request(
        { operation: 'export_key', method: 'GET', path, isBehind: lacksVersion },
        context,
      )
      return parseExportedKey(answer.body)
    } catch (error) {
      rethrowTransitFault(key, error)
    }
  }

  async #post(
    operation: 'encrypt' | 'decrypt',
    key: string,
    body: object,
    context: CallContext,
  ): Promise<{ readonly request: VaultRequest; readonly answer: VaultResponse }> {
    const path = this.#path(operation, key)
    const request: VaultRequest = {
      operation,
      method: 'POST',
      path,
      body,
      isBehind: lacksVersion,
      isUniform: this.#isUniform,
    }
    try {
      return { request, answer: await this.#vault.request(request, context) }
    } catch (error) {
      rethrowTransitFault(key, error)
    }
  }

  #path(operation: string, key: string): string {
    return `${this.#mount}/${operation}/${encodeURIComponent(key)}`
  }
}

function encryptItem({ plaintext, associatedData, keyVersion }: EncryptInput) {
  return {
    plaintext: encodeBase64(plaintext),
    associated_data: toBase64(associatedData),
    key_version: keyVersion,
  }
}

function decryptItem({ ciphertext, associatedData, context }: DecryptInput): object {
  return {
    ciphertext,
    // JSON.stringify omits undefined fields.
    associated_data: associatedData && toBase64(associatedData),
    context: context && toBase64(context),
  }
}

function dataOf(answer: VaultResponse): unknown {
  return (answer.body as { data?: unknown } | undefined)?.data
}

/** Results have the index of their input (path_encrypt.go, path_decrypt.go); a shorter list would mix up values. */
function readBatch<Item, Result>(
  request: VaultRequest,
  answer: VaultResponse,
  items: readonly Item[],
  read: (result: unknown, item: Item) => Result,
): (Result | BridgeError)[] {
  const data = dataOf(answer) as { batch_results?: unknown } | undefined
  const results: unknown = data?.batch_results
  if (!Array.isArray(results) || results.length !== items.length) {
    if (Array.isArray(results)) results.forEach(zeroPlaintext)
    throw new BridgeError(
      'VAULT_ANSWER_INVALID',
      'the number of results that Vault returned is not the number of values in the batch',
    )
  }
  return items.map((item, index) => {
    const result: unknown = results[index]
    const words = readField(result, 'error')
    if (words === undefined || words === '') return readItem(() => read(result, item))
    zeroPlaintext(result)
    return explainItemFault(request, answer.status, cleanWords([words], request))
  })
}

/** A text that is in no table may be "internal error", which alone would not say whose it is. */
function explainItemFault({ operation }: VaultRequest, status: number, words: string): BridgeError {
  const fault = explainTransitFault(words)
  if (fault.code !== 'VAULT_REJECTED') return fault
  // Transit answers 500 for its own faults and 400 for the caller's (path_encrypt.go, path_decrypt.go).
  if (status < 500) return new BridgeError(fault.code, `Vault rejects ${operation}: ${words}`)
  const message = `Vault cannot currently ${operation} this value: ${words}`
  return new BridgeError('VAULT_UNAVAILABLE', message)
}

/** The answer for one value. Its fault is its result: the other values are not affected. */
function readItem<Result>(read: () => Result): Result | BridgeError {
  try {
    return read()
  } catch (error) {
    return BridgeError.from(error)
  }
}

function readCiphertext(
  data: unknown,
  { key_version }: ReturnType<typeof encryptItem>,
  key: string,
): string {
  const ciphertext = readField(data, 'ciphertext')
  if (ciphertext !== undefined && readCiphertextVersion(ciphertext) === key_version)
    return ciphertext
  throw new BridgeError(
    'VAULT_ANSWER_INVALID',
    `Vault did not encrypt with version ${String(key_version)} of transit key ${key} as requested`,
  )
}

/** Usually the client has decoded it already (vault/client/secret-fields.ts). */
function readPlaintext(data: unknown): Buffer {
  const plaintext = valueOf(data, 'plaintext')
  if (Buffer.isBuffer(plaintext)) return plaintext
  if (typeof plaintext !== 'string') {
    throw new BridgeError('VAULT_ANSWER_INVALID', 'Vault returned no plaintext')
  }
  const bytes = decodeBase64(Buffer.from(plaintext))
  if (bytes !== undefined) return bytes
  throw new BridgeError('VAULT_ANSWER_INVALID', 'Vault returned a plaintext that is not base64')
}

/** Of a result that is not used. */
function zeroPlaintext(result: unknown): void {
  const plaintext = valueOf(result, 'plaintext')
  if (Buffer.isBuffer(plaintext)) plaintext.fill(0)
}

function readField(data: unknown, field: string): string | undefined {
  const value = valueOf(data, field)
  return typeof value === 'string' ? value : undefined
}

function valueOf(data: unknown, field: string): unknown {
  return typeof data === 'object' && data !== null ? Reflect.get(data, field) : undefined
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}
