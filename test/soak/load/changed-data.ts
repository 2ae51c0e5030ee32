import type { WrappedSeed } from '../../real/program/kms-client.ts'
import type { Random } from '../random.ts'

/** Changes a ciphertext, its key id or its annotations, so that it must not decrypt. Undefined if nothing would change. */
export function changeData(
  seed: WrappedSeed,
  other: WrappedSeed,
  random: Random,
): WrappedSeed | undefined {
  switch (random.pick(['ciphertext', 'key id', 'annotations', 'annotation'] as const)) {
    case 'ciphertext':
      return { ...seed, ciphertext: flipBit(seed.ciphertext, random) }
    case 'key id':
      return seed.keyId === other.keyId ? undefined : { ...seed, keyId: other.keyId }
    case 'annotations':
      return isSame(seed.annotations, other.annotations)
        ? undefined
        : { ...seed, annotations: other.annotations }
    case 'annotation': {
      const name = random.pick(Object.keys(seed.annotations))
      const value = flipBit(seed.annotations[name] ?? new Uint8Array(1), random)
      return { ...seed, annotations: { ...seed.annotations, [name]: value } }
    }
  }
}

function flipBit(bytes: Uint8Array, random: Random): Uint8Array {
  const changed = Uint8Array.from(bytes)
  const at = random.between(0, changed.length)
  changed[at] = (changed[at] ?? 0) ^ (1 << random.between(0, 8))
  return changed
}

function isSame(one: WrappedSeed['annotations'], other: WrappedSeed['annotations']): boolean {
  const names = Object.keys(one)
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => Buffer.from(one[name] ?? []).equals(other[name] ?? Buffer.alloc(0)))
  )
}
