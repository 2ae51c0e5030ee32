import { randomBytes } from 'node:crypto'
import { lstat, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

import { BridgeError } from '../errors.ts'
import { createHostFile, removeHostFile } from '../files/atomic-file.ts'
import { codeOfFileError, explainFileError, systemCodeOf } from '../files/system-error.ts'
import { encryptToRecipients } from './age.ts'
import type { KeyTable } from './key-table.ts'
import type { EscrowManifest } from './manifest.ts'
import { isComplete, type Coverage } from './reading.ts'
import {
  FILE_KEY_BYTES,
  formatEscrow,
  openEscrow,
  sealEscrow,
  type EscrowFile,
} from './sealed-file.ts'
import { combineShares, digestShare, formatShare, splitFileKey } from './share.ts'

/** Who can open an escrow. */
export interface Holders {
  readonly split?: { readonly needed: number; readonly of: number } | undefined
  readonly recipients: readonly string[]
}

export interface CreationFacts {
  readonly clusterId: string
  readonly alsoDecryptClusters: readonly string[]
  readonly transit: EscrowManifest['transit']
  readonly coverage: readonly Coverage[]
  /** Milliseconds since 1970. */
  readonly now: number
}

/** The files of an escrow, with the content of each share. */
export interface MadeEscrow {
  readonly file: EscrowFile
  readonly shares: readonly string[]
}

/** Encrypts the keys, and proves that the holders can open the result. */
export async function makeEscrow(
  table: KeyTable,
  holders: Holders,
  facts: CreationFacts,
): Promise<MadeEscrow> {
  const fileKey = randomBytes(FILE_KEY_BYTES)
  const shares = holders.split === undefined ? [] : await splitFileKey(fileKey, holders.split)
  try {
    const manifest = describe(table, holders, facts, shares)
    const { recipients } = holders
    const age = recipients.length > 0 ? await encryptToRecipients(fileKey, recipients) : undefined
    const file = sealEscrow(age === undefined ? { manifest } : { manifest, age }, table, fileKey)
    await prove(file, shares, fileKey)
    return { file, shares: shares.map((share, index) => formatShare(manifest, index, share)) }
  } finally {
    fileKey.fill(0)
    for (const share of shares) share.fill(0)
  }
}

function describe(
  table: KeyTable,
  { split, recipients }: Holders,
  { coverage, now, ...facts }: CreationFacts,
  shares: readonly Uint8Array[],
): EscrowManifest {
  return {
    id: randomBytes(16).toString('hex'),
    createdAt: new Date(now).toISOString(),
    clusterId: facts.clusterId,
    alsoDecryptClusters: [...facts.alsoDecryptClusters],
    transit: facts.transit,
    localKeys: table.count('local-key'),
    seeds: table.count('seed'),
    uncovered: coverage.reduce((sum, { encrypted, covered }) => sum + encrypted - covered, 0),
    sources: coverage.map(({ source: name, encrypted, covered }) => ({ name, encrypted, covered })),
    shares: split && { needed: split.needed, digests: shares.map(digestShare) },
    recipients: recipients.length,
    entries: [...table.entries],
  }
}

/** Opens what will be written, with the last of its shares where it has any. */
async function prove(
  file: EscrowFile,
  shares: readonly Uint8Array[],
  fileKey: Uint8Array,
): Promise<void> {
  const needed = file.manifest.shares?.needed
  const key =
    needed === undefined ? Uint8Array.from(fileKey) : await combineShares(shares.slice(-needed))
  try {
    // What is parsed again is what a reader of the file gets.
    openEscrow(JSON.parse(formatEscrow(file)) as EscrowFile, key).end()
  } finally {
    key.fill(0)
  }
}

/** The share files next to an escrow, in order. */
export function shareFiles(out: string, of: number): readonly string[] {
  return Array.from({ length: of }, (_, index) => `${out}.share-${String(index + 1)}`)
}

/**
 * Throws unless the folder of an escrow exists, because it would otherwise be missing after all requests to Vault: USAGE_INVALID, or
 * HOST_UNAVAILABLE if the host is at fault.
 */
export async function requireFolder(out: string): Promise<void> {
  const folder = dirname(out)
  try {
    if ((await stat(folder)).isDirectory()) return
  } catch (cause) {
    const isMissing = systemCodeOf(cause) === 'ENOENT'
    const why = isMissing
      ? 'does not exist; create it first'
      : `cannot be used: ${explainFileError(cause)}`
    const code = codeOfFileError(cause, 'USAGE_INVALID')
    throw new BridgeError(code, `--out ${out}: ${folder} ${why}`, { cause })
  }
  throw new BridgeError('USAGE_INVALID', `--out ${out}: ${folder} is not a directory`)
}

/** Throws USAGE_INVALID if one of the files exists: an escrow and its shares are never replaced. */
export async function requireNew(files: readonly string[]): Promise<void> {
  for (const file of files) {
    const found = await lstat(file).catch(() => undefined)
    if (found !== undefined)
      throw new BridgeError('USAGE_INVALID', `${file} exists already; pass another --out`)
  }
}

/**
 * Writes the shares, then the escrow, and replaces nothing: shares of one run with the escrow of another open nothing. If one
 * cannot be written, those before it are removed. Throws HOST_FAILED.
 */
export async function writeEscrow(out: string, { file, shares }: MadeEscrow): Promise<void> {
  const paths = shareFiles(out, shares.length)
  const files = shares.map((content, index) => ({ path: paths[index] ?? '', content }))
  const written: string[] = []
  try {
    for (const { path, content } of [...files, { path: out, content: formatEscrow(file) }]) {
      await createHostFile({ path, mode: 0o600, content })
      written.push(path)
    }
  } catch (thrown) {
    const left = await removeAll(written)
    if (left.length === 0) throw thrown
    const error = BridgeError.from(thrown)
    const message = `${error.message}; these secret files could not be removed, so remove them: ${left.join(', ')}`
    throw new BridgeError(error.code, message, { cause: error })
  }
}

/** Returns those that could not be removed. */
async function removeAll(paths: readonly string[]): Promise<readonly string[]> {
  const left: string[] = []
  for (const path of paths) await removeHostFile(path).catch(() => left.push(path))
  return left
}

/** What the command prints; nothing in it is secret. */
export interface CreationReport {
  readonly ok: boolean
  readonly escrow: string
  readonly shares: readonly string[]
  readonly needed?: number | undefined
  readonly recipients: number
  readonly localKeys: number
  readonly seeds: number
  readonly coverage: readonly Coverage[]
  readonly vaultUid: string
}

export function makeCreationReport(
  out: string,
  { file: { manifest }, shares }: MadeEscrow,
  coverage: readonly Coverage[],
  vaultUid: string,
): CreationReport {
  return {
    ok: coverage.every(isComplete),
    escrow: out,
    shares: shareFiles(out, shares.length),
    needed: manifest.shares?.needed,
    recipients: manifest.recipients,
    localKeys: manifest.localKeys,
    seeds: manifest.seeds,
    coverage,
    vaultUid,
  }
}
