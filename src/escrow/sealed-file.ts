import { hash } from 'node:crypto'
import * as v from 'valibot'

import { BridgeError } from '../errors.ts'
import { readTextFile } from '../files/text-file.ts'
import { encodeCanonically } from '../seed/canonical-encoding.ts'
import { openDerived, sealDerived } from '../seed/derived-seal.ts'
import { KeyTable } from './key-table.ts'
import { EscrowManifest } from './manifest.ts'

export const FILE_KEY_BYTES = 32
/** The text and its parts must fit into the heap, which bin/transit-bridge limits. A key takes about 300 bytes. */
const MAX_ESCROW_BYTES = 16 * 1024 * 1024
const FORMAT = 'transit-bridge/escrow/v1'
const DOMAIN = 'transit-bridge/escrow-seal/v1'

const EscrowFileSchema = v.strictObject({
  format: v.literal(FORMAT),
  manifest: EscrowManifest,
  /** The file key, encrypted to age recipients. */
  age: v.optional(v.pipe(v.string(), v.base64())),
  /** As {@link sealDerived} returns it. */
  sealed: v.pipe(v.string(), v.base64()),
  /** SHA-256 of the rest: shows damage before shares are collected. Anyone who changes the file can change it, too. */
  checksum: v.pipe(v.string(), v.base64()),
})

/** An escrow as it is stored. */
export type EscrowFile = v.InferOutput<typeof EscrowFileSchema>

/** Encrypts the keys under the file key. The manifest and the age part are associated data. */
export function sealEscrow(
  facts: Pick<EscrowFile, 'manifest' | 'age'>,
  table: KeyTable,
  fileKey: Uint8Array,
): EscrowFile {
  const plaintext = table.encode()
  try {
    const sealed = sealDerived(fileKey, DOMAIN, plaintext, associate(facts)).toString('base64')
    const file = { ...facts, sealed }
    return { format: FORMAT, ...file, checksum: sumOf(file) }
  } finally {
    plaintext.fill(0)
  }
}

/** Decrypts the keys, which proves the manifest, too. Throws FILE_DAMAGED. */
export function openEscrow(file: EscrowFile, fileKey: Uint8Array): KeyTable {
  const sealed = Buffer.from(file.sealed, 'base64')
  const plaintext = openDerived(fileKey, DOMAIN, sealed, associate(file))
  if (plaintext === undefined) throw damaged()
  try {
    return KeyTable.decode(plaintext, file.manifest.entries)
  } finally {
    plaintext.fill(0)
  }
}

/** Reads an escrow without opening it. Throws USAGE_INVALID if it cannot be read, FILE_DAMAGED if it is not an escrow. */
export async function readEscrow(path: string): Promise<EscrowFile> {
  const text = await readTextFile(path, `--escrow ${path}`, MAX_ESCROW_BYTES)
  const parsed = v.safeParse(EscrowFileSchema, parseJson(text), { abortEarly: true })
  if (parsed.success && parsed.output.checksum === sumOf(parsed.output)) return parsed.output
  throw new BridgeError(
    'FILE_DAMAGED',
    `--escrow ${path}: is not an escrow, or was damaged or changed; use another copy of the file`,
  )
}

/** Throws USAGE_INVALID for one that {@link readEscrow} would refuse. */
export function formatEscrow(file: EscrowFile): string {
  const text = `${JSON.stringify(file, null, 1)}\n`
  if (Buffer.byteLength(text) <= MAX_ESCROW_BYTES) return text
  throw new BridgeError(
    'USAGE_INVALID',
    `an escrow of ${String(file.manifest.entries.length)} keys would be larger than 16 MiB; rewrite the data first, so that it needs fewer keys`,
  )
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function sumOf(file: Omit<EscrowFile, 'format' | 'checksum'>): string {
  return hash('sha256', Buffer.concat([associate(file), Buffer.from(file.sealed)]), 'base64')
}

/** The properties of parsed JSON keep their order, so the same file has the same bytes again. */
function associate({ manifest, age }: Pick<EscrowFile, 'manifest' | 'age'>): Buffer {
  return encodeCanonically(DOMAIN, [JSON.stringify(manifest), age ?? ''])
}

function damaged(): BridgeError {
  return new BridgeError(
    'FILE_DAMAGED',
    'the escrow does not match its key: the file was damaged or changed; use another copy of the file',
  )
}
