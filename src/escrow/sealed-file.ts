import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import * as v from 'valibot'

import { BridgeError } from '../errors.ts'
import { explainFileError } from '../files/system-error.ts'
import { encodeCanonically } from '../seed/canonical-encoding.ts'
import { KeyTable } from './key-table.ts'
import { EscrowManifest } from './manifest.ts'

export const FILE_KEY_BYTES = 32
const FORMAT = 'transit-bridge/escrow/v1'
const DOMAIN = 'transit-bridge/escrow-seal/v1'
const CIPHER = 'aes-256-gcm'
const SALT_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16

const EscrowFileSchema = v.strictObject({
  format: v.literal(FORMAT),
  manifest: EscrowManifest,
  /** The file key, encrypted to age recipients. */
  age: v.optional(v.pipe(v.string(), v.base64())),
  /** Salt, ciphertext and tag. */
  sealed: v.pipe(v.string(), v.base64()),
})

/** An escrow as it is stored. */
export type EscrowFile = v.InferOutput<typeof EscrowFileSchema>

/**
 * Encrypts the keys with AES-256-GCM under a key and a nonce that HKDF-SHA256 derives from the file key and a random salt. The
 * manifest and the age part are associated data.
 */
export function sealEscrow(
  facts: Pick<EscrowFile, 'manifest' | 'age'>,
  table: KeyTable,
  fileKey: Uint8Array,
): EscrowFile {
  const salt = randomBytes(SALT_BYTES)
  const { key, nonce, wipe } = deriveKey(fileKey, salt)
  const plaintext = table.encode()
  try {
    const cipher = createCipheriv(CIPHER, key, nonce)
    cipher.setAAD(associate(facts))
    const parts = [salt, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]
    return { format: FORMAT, ...facts, sealed: Buffer.concat(parts).toString('base64') }
  } finally {
    plaintext.fill(0)
    wipe()
  }
}

/** Decrypts the keys, which proves the manifest, too. Throws FILE_DAMAGED. */
export function openEscrow(file: EscrowFile, fileKey: Uint8Array): KeyTable {
  const bytes = Buffer.from(file.sealed, 'base64')
  if (bytes.length < SALT_BYTES + TAG_BYTES) throw damaged()
  const end = bytes.length - TAG_BYTES
  const { key, nonce, wipe } = deriveKey(fileKey, bytes.subarray(0, SALT_BYTES))
  const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAAD(associate(file))
  decipher.setAuthTag(bytes.subarray(end))
  const plaintext = decipher.update(bytes.subarray(SALT_BYTES, end))
  try {
    requireAuthentic(() => decipher.final())
    return KeyTable.decode(plaintext, file.manifest.entries)
  } finally {
    plaintext.fill(0)
    wipe()
  }
}

/** Reads an escrow without opening it. Throws USAGE_INVALID if it cannot be read, FILE_DAMAGED if it is no escrow. */
export async function readEscrow(path: string): Promise<EscrowFile> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    const why = `--escrow ${path}: cannot be read: ${explainFileError(cause)}`
    throw new BridgeError('USAGE_INVALID', why, { cause })
  }
  const parsed = v.safeParse(EscrowFileSchema, parseJson(text), { abortEarly: true })
  if (parsed.success) return parsed.output
  throw new BridgeError(
    'FILE_DAMAGED',
    `--escrow ${path}: is not an escrow, or it is damaged; use another copy of the file`,
  )
}

export function formatEscrow(file: EscrowFile): string {
  return `${JSON.stringify(file, null, 1)}\n`
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** The properties of parsed JSON keep their order, so the same file has the same bytes again. */
function associate({ manifest, age }: Pick<EscrowFile, 'manifest' | 'age'>): Buffer {
  return encodeCanonically(DOMAIN, [JSON.stringify(manifest), age ?? ''])
}

function requireAuthentic(finish: () => unknown): void {
  try {
    finish()
  } catch (cause) {
    throw damaged(cause)
  }
}

function damaged(cause?: unknown): BridgeError {
  return new BridgeError(
    'FILE_DAMAGED',
    'the escrow does not match its key: the file was damaged or changed; use another copy of the file',
    { cause },
  )
}

function deriveKey(fileKey: Uint8Array, salt: Uint8Array) {
  const bytes = Buffer.from(hkdfSync('sha256', fileKey, salt, DOMAIN, FILE_KEY_BYTES + NONCE_BYTES))
  return {
    key: bytes.subarray(0, FILE_KEY_BYTES),
    nonce: bytes.subarray(FILE_KEY_BYTES),
    wipe: () => void bytes.fill(0),
  }
}
