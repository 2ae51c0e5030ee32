import type { DecryptInput, EncryptInput } from './transit.ts'

/**
 * Maximum number of values in one request. OpenBao 2.4.1 and newer refuse a body of more than 1,000 JSON strings, including the
 * names of fields (openbao/openbao#1756).
 */
export const MAX_BATCH_ITEMS = 64

/**
 * Largest body of a batch, unless one value alone is larger. Transit's answer is smaller than the request, so it stays
 * below the limit of the Vault client for one answer (src/vault/client/exchange.ts, MAX_ANSWER_BYTES).
 */
export const MAX_BATCH_BYTES = 1024 * 1024

/** Field names, quotes and braces of one item of `batch_input`, and the number of a key version. */
const ITEM_OVERHEAD_BYTES = 80

/** How many of the inputs from `start` on go into the next request: at least one, if there is one. */
export function countNextBatch<Input>(
  inputs: readonly Input[],
  sizeOf: (input: Input) => number,
  start = 0,
): number {
  let count = 0
  let bytes = 0
  for (const input of inputs.slice(start, start + MAX_BATCH_ITEMS)) {
    bytes += sizeOf(input)
    if (count > 0 && bytes > MAX_BATCH_BYTES) break
    count += 1
  }
  return count
}

/** The bytes of a ciphertext in `batch_input`. */
export function sizeOfDecrypt({ ciphertext, associatedData, context }: DecryptInput): number {
  return (
    ITEM_OVERHEAD_BYTES +
    ciphertext.length +
    base64Length(associatedData?.byteLength ?? 0) +
    base64Length(context?.byteLength ?? 0)
  )
}

/** The bytes of a plaintext in `batch_input`. */
export function sizeOfEncrypt({ plaintext, associatedData }: EncryptInput): number {
  const { byteLength } = associatedData
  return ITEM_OVERHEAD_BYTES + base64Length(plaintext.byteLength) + base64Length(byteLength)
}

function base64Length(bytes: number): number {
  return Math.ceil(bytes / 3) * 4
}
