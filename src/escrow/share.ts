import { hash } from 'node:crypto'
import { combine, split } from 'shamir-secret-sharing'
import * as v from 'valibot'

import { BridgeError } from '../errors.ts'
import { readTextFile } from '../files/text-file.ts'
import type { EscrowManifest } from './manifest.ts'

const FORMAT = 'transit-bridge/escrow-share/v1'

const ShareFile = v.strictObject({
  format: v.literal(FORMAT),
  /** The id of its escrow. */
  escrow: v.string(),
  clusterId: v.string(),
  createdAt: v.pipe(v.string(), v.isoTimestamp()),
  share: v.pipe(v.number(), v.integer()),
  of: v.pipe(v.number(), v.integer()),
  needed: v.pipe(v.number(), v.integer()),
  value: v.pipe(v.string(), v.base64()),
})

/** Splits the file key; any `needed` of the shares restore it, and fewer reveal nothing about it. The caller zeroes them. */
export async function splitFileKey(
  fileKey: Uint8Array,
  { needed, of }: { readonly needed: number; readonly of: number },
): Promise<readonly Uint8Array[]> {
  // The library refuses a Buffer.
  const copy = Uint8Array.from(fileKey)
  try {
    return await split(copy, of, needed)
  } finally {
    copy.fill(0)
  }
}

/** The file key from enough shares; from too few or wrong ones, other bytes. The caller zeroes it. */
export function combineShares(shares: readonly Uint8Array[]): Promise<Uint8Array> {
  return combine([...shares])
}

/** Recognizes a share without showing it. */
export function digestShare(share: Uint8Array): string {
  return hash('sha256', share, 'base64')
}

/** The content of the file for the holder of one share, which is secret. */
export function formatShare(manifest: EscrowManifest, index: number, share: Uint8Array): string {
  const file: v.InferInput<typeof ShareFile> = {
    format: FORMAT,
    escrow: manifest.id,
    clusterId: manifest.clusterId,
    createdAt: manifest.createdAt,
    share: index + 1,
    of: manifest.shares?.digests.length ?? 0,
    needed: manifest.shares?.needed ?? 0,
    value: Buffer.from(share.buffer, share.byteOffset, share.byteLength).toString('base64'),
  }
  return `${JSON.stringify(file, null, 1)}\n`
}

/**
 * The file key from share files. Throws USAGE_INVALID for shares of another escrow, and for too few of them; FILE_DAMAGED for a
 * damaged one. The caller zeroes the result.
 */
export async function joinShares(
  manifest: EscrowManifest,
  files: readonly string[],
): Promise<Uint8Array> {
  const { shares: rule } = manifest
  if (rule === undefined) throw usage('the escrow has no shares; pass --identity FILE')
  const shares = new Map<string, Uint8Array>()
  try {
    for (const file of files) {
      const share = await readShare(file, manifest)
      const digest = digestShare(share)
      shares.get(digest)?.fill(0)
      shares.set(digest, share)
    }
    if (shares.size < rule.needed) {
      throw usage(
        `the escrow opens with ${String(rule.needed)} different shares of ${String(rule.digests.length)}, and ${shares.size === 1 ? 'only 1 was' : `only ${String(shares.size)} were`} passed; pass --share FILE for ${String(rule.needed - shares.size)} more`,
      )
    }
    return await combineShares([...shares.values()])
  } finally {
    for (const share of shares.values()) share.fill(0)
  }
}

async function readShare(file: string, manifest: EscrowManifest): Promise<Uint8Array> {
  const parsed = v.safeParse(ShareFile, parseJson(await readTextFile(file, `--share ${file}`)), {
    abortEarly: true,
  })
  if (!parsed.success) {
    throw new BridgeError(
      'FILE_DAMAGED',
      `--share ${file}: is not a share of an escrow, or it is damaged`,
    )
  }
  const { escrow, share, clusterId, createdAt, value } = parsed.output
  if (escrow !== manifest.id) {
    throw usage(
      `--share ${file}: is share ${String(share)} of another escrow, created at ${createdAt} for cluster ${JSON.stringify(clusterId)} with id ${JSON.stringify(escrow)}; this escrow was created at ${manifest.createdAt} for cluster ${JSON.stringify(manifest.clusterId)} with id ${JSON.stringify(manifest.id)}`,
    )
  }
  const bytes = new Uint8Array(Buffer.from(value, 'base64'))
  if (manifest.shares?.digests.includes(digestShare(bytes)) === true) return bytes
  bytes.fill(0)
  throw new BridgeError(
    'FILE_DAMAGED',
    `--share ${file}: its value is damaged; ask for another copy, or for another share`,
  )
}

/** The error of JSON.parse quotes its input, which is secret here. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function usage(message: string): BridgeError {
  return new BridgeError('USAGE_INVALID', message)
}
