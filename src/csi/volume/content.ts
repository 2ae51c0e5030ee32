import { createHash } from 'node:crypto'
import { BridgeError } from '../../errors.ts'

/**
 * The size limit of a Kubernetes Secret (https://kubernetes.io/docs/concepts/configuration/secret/#restriction-data-size),
 * to which the driver can sync a volume. The driver itself accepts 4 MiB (its option --max-call-recv-msg-size).
 */
const MAX_CONTENT_BYTES = 1024 * 1024

/** One file of a volume. Its owner zeroes `contents`. */
export interface ContentFile {
  readonly path: string
  readonly mode: number
  readonly contents: Buffer
  /**
   * Changes if and only if the content changes. The driver stores it in a resource that is not secret, so it is never
   * derived from secret content: for a decrypted value it is a hash of the ciphertext and its encoding. See
   * docs/design.md, "CSI content".
   */
  readonly version: string
}

/** Returns a short hash of the parts. Each length is hashed, too, so that moving a boundary changes the hash. */
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

/** Throws CONTENT_TOO_LARGE, or OBJECT_MISSING if there are no files. */
export function requireUsableContent(files: readonly ContentFile[]): void {
  if (files.length === 0) {
    throw new BridgeError(
      'OBJECT_MISSING',
      'every object of the class is optional, and none of them exists; a volume needs at least one file, because the CSI driver takes an empty response to mean that the files are already written',
    )
  }
  requireSize(files.reduce((sum, { contents }) => sum + contents.byteLength, 0))
}

/** Throws CONTENT_TOO_LARGE. */
export function requireSize(total: number): void {
  if (total <= MAX_CONTENT_BYTES) return
  throw new BridgeError(
    'CONTENT_TOO_LARGE',
    `the volume would have at least ${String(Math.ceil(total / 1024))} KiB, more than ${String(MAX_CONTENT_BYTES / 1024)} KiB; split its objects into several classes`,
  )
}
