import { createHash } from 'node:crypto'
import { BridgeError } from '../../errors.ts'

/** A larger volume cannot be synced to a Secret of Kubernetes, and from 4 MiB on the driver refuses it. */
const MAX_CONTENT_BYTES = 1024 * 1024

/** One file of a volume. Whoever holds it last zeroes `contents`. */
export interface ContentFile {
  readonly path: string
  readonly mode: number
  readonly contents: Buffer
  /**
   * Another one if and only if the content is another one. The driver keeps it in the open, so it is never made
   * from what is secret: of decrypted values it stands for the ciphertext and how it is written.
   */
  readonly version: string
}

/** A short text that stands for these parts; parts with a border between them never give the same text. */
export function fingerprint(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) {
    hash.update(`${String(Buffer.byteLength(part))}:`)
    hash.update(part)
  }
  return hash.digest('base64url').slice(0, 22)
}

export function copyFiles(files: readonly ContentFile[]): ContentFile[] {
  return files.map((file) => ({ ...file, contents: Buffer.from(file.contents) }))
}

export function zeroFiles(files: readonly ContentFile[]): void {
  for (const { contents } of files) contents.fill(0)
}

/** Throws CONTENT_TOO_LARGE, or OBJECT_MISSING where nothing is left of a class. */
export function requireUsableContent(files: readonly ContentFile[]): void {
  if (files.length === 0) {
    throw new BridgeError(
      'OBJECT_MISSING',
      'every object of the class is optional and none of them exists; a volume needs at least one file, since the CSI driver takes an empty answer for files that were written already',
    )
  }
  const total = files.reduce((sum, { contents }) => sum + contents.byteLength, 0)
  if (total <= MAX_CONTENT_BYTES) return
  throw new BridgeError(
    'CONTENT_TOO_LARGE',
    `the volume would hold ${String(Math.ceil(total / 1024))} KiB, and the most is ${String(MAX_CONTENT_BYTES / 1024)}; spread its objects over several classes`,
  )
}
