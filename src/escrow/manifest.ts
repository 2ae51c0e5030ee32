import * as v from 'valibot'

/** What the secret of an entry is: a local key, or a DEK seed (or DEK) that Transit encrypted itself. */
export type EntryKind = 'local-key' | 'seed'

const Count = v.pipe(v.number(), v.integer(), v.minValue(0))
const Name = v.pipe(v.string(), v.maxLength(4096))

/** More entries make the file too large to handle: 100,000 take about 12 MiB. */
export const MAX_ENTRIES = 100_000
export const MAX_SHARES = 255

/**
 * What an escrow says about itself in the clear. It is authenticated with the keys (docs/design.md, "Escrow"), and contains
 * no secret: hashes of what etcd stores in the clear anyway, names and counts.
 */
export const EscrowManifest = v.strictObject({
  id: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
  createdAt: v.pipe(v.string(), v.isoTimestamp()),
  clusterId: Name,
  alsoDecryptClusters: v.array(Name),
  transit: v.strictObject({ mount: Name, key: Name, versions: v.array(Count) }),
  localKeys: Count,
  seeds: Count,
  /** Encrypted objects that it did not cover when it was created. */
  uncovered: Count,
  sources: v.array(v.strictObject({ name: Name, encrypted: Count, covered: Count })),
  shares: v.optional(
    v.strictObject({
      needed: v.pipe(Count, v.minValue(2)),
      /** SHA-256 of each share, by which a wrong one is recognized. A share has 256 random bits. */
      digests: v.pipe(v.array(v.string()), v.maxLength(MAX_SHARES)),
    }),
  ),
  recipients: Count,
  /** In the order of the secrets: SHA-256 of the local key or DEK seed as Transit encrypted it, with its context. */
  entries: v.pipe(
    v.array(v.strictObject({ kind: v.picklist(['local-key', 'seed']), id: v.string() })),
    v.maxLength(MAX_ENTRIES),
  ),
})

export type EscrowManifest = v.InferOutput<typeof EscrowManifest>
