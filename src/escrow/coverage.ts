import type { Finding, ParsedObject, Proof } from '../verify/proof.ts'
import type { EntryKind, EscrowManifest } from './manifest.ts'
import { findNeed, isNeed, type Need } from './need.ts'

/** Compares what objects need with the manifest of an escrow. It needs no key. */
export class CoverageProof implements Proof {
  readonly #manifest: EscrowManifest
  readonly #ids: ReadonlySet<string>

  constructor(manifest: EscrowManifest) {
    this.#manifest = manifest
    this.#ids = new Set(manifest.entries.map(({ id }) => id))
  }

  check(objects: readonly ParsedObject[]): Promise<readonly (Finding | undefined)[]> {
    return Promise.resolve(
      objects.map(({ stored }) => {
        const need = findNeed(stored, true)
        if (!isNeed(need)) return need
        return this.#ids.has(need.id) ? undefined : explainMissing(need, this.#manifest)
      }),
    )
  }

  end(): void {
    // It holds nothing secret.
  }
}

const MISSING = {
  'local-key': { what: 'its local key is not in the escrow', fix: 'create a new one' },
  seed: {
    what: 'Transit encrypted its DEK seed without a local key, and the seed is not in the escrow',
    fix: 'enable kms.localKeys and run transit-bridge rotate, then create a new one, or create one with --include-seeds',
  },
} as const satisfies Record<EntryKind, object>

/** Why the key of an object is not in an escrow. */
export function explainMissing({ kind, envelope }: Need, manifest: EscrowManifest): Finding {
  const clusterId = envelope.claim?.clusterId
  const clusters = [manifest.clusterId, ...manifest.alsoDecryptClusters]
  if (clusterId !== undefined && !clusters.includes(clusterId)) {
    return {
      kind: 'unproven',
      why: `it belongs to cluster ${JSON.stringify(clusterId.slice(0, 128))}, and the escrow belongs to cluster ${JSON.stringify(manifest.clusterId)}; use an escrow of that cluster, or list it in kms.alsoDecryptClusters and create a new escrow`,
      code: 'CLUSTER_FOREIGN',
    }
  }
  const { what, fix } = MISSING[kind]
  return { kind: 'unproven', why: `${what}, which was created at ${manifest.createdAt}; ${fix}` }
}
