import { makeKeyId } from '../seed/key-id.ts'
import type { TransitKey } from '../transit/key.ts'
import { hashKeyId } from '../seed/key-id.ts'

/** Maps hashes of key ids to versions of the Transit key, and back. */
export class KeyVersions {
  readonly #versions = new Map<string, number>()
  readonly #hashes = new Map<number, string>()

  /** For the key ids of one cluster and of those in kms.alsoDecryptClusters. */
  constructor(key: TransitKey, clusterId: string, otherClusterIds: readonly string[] = []) {
    for (const [keyVersion, { createdAt }] of key.versions) {
      const hashOf = (id: string) =>
        hashKeyId(makeKeyId({ clusterId: id, keyName: key.name, keyVersion, createdAt }))
      for (const id of otherClusterIds) this.#versions.set(hashOf(id), keyVersion)
      this.#versions.set(hashOf(clusterId), keyVersion)
      this.#hashes.set(keyVersion, hashOf(clusterId))
    }
  }

  /** Undefined for an unknown hash, including that of a version that Vault no longer has. */
  versionOf(hash: string): number | undefined {
    return this.#versions.get(hash)
  }

  /** Undefined for a version that Vault does not have. */
  hashOf(version: number): string | undefined {
    return this.#hashes.get(version)
  }
}
