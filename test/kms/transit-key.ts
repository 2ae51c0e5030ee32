import type { TransitKey } from '../../src/transit/key.ts'

/** When version 1 of the key of these tests was made, in seconds since 1970. */
export const CREATED = 1_790_000_000

/** A Transit key with versions `from` to `latest`, each made an hour after the one before. */
export function transitKey(
  latest: number,
  given: { from?: number; createdAt?: number } & Partial<TransitKey> = {},
): TransitKey {
  const { from = 1, createdAt = CREATED, ...rest } = given
  const numbers = Array.from({ length: latest - from + 1 }, (_, index) => from + index)
  return {
    name: 'k8s-etcd',
    type: 'aes256-gcm96',
    latestVersion: latest,
    minDecryptionVersion: from,
    minEncryptionVersion: 0,
    derived: false,
    softDeleted: false,
    versions: new Map(
      numbers.map((number) => [number, { createdAt: createdAt + (number - 1) * 3_600 }]),
    ),
    ...rest,
  }
}
