import { makeKeyId } from '../seed/key-id.ts'
import type { TransitKey } from '../transit/key.ts'
import { hashKeyId } from '../seed/key-id.ts'

/** Which version of the key each hash of a key id stands for, and the other way round. */
export class KeyVersions {
  readonly #versions = new Map<string, number>()
  readonly #hashes = new Map<number, string>()

  /** Of a key in one cluster, and in others whose data it reads, too (kms.alsoDecryptClusters). */
  constructor(key: TransitKey, clusterId: string, otherClusterIds: readonly string[] = []) {
    for (const [keyVersion, { createdAt }] of key.versions) {
      const hashOf = (id: string) =>
        hashKeyId(makeKeyId({ clusterId: id, keyName: key.name, keyVersion, createdAt }))
      for (const id of otherClusterIds) this.#versions.set(hashOf(id), keyVersion)
      this.#versions.set(hashOf(clusterId), keyVersion)
      this.#hashes.set(keyVersion, hashOf(clusterId))
    }
  }

  /** Undefined for the hash of something else, or of a version that Vault no longer lists. */
  versionOf(hash: string): number | undefined {
    return this.#versions.get(hash)
  }

  /** Undefined for a version that Vault does not list. */
  hashOf(version: number): string | undefined {
    return this.#hashes.get(version)
  }
}
