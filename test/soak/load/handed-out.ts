import type { WrappedSeed } from '../../real/program/kms-client.ts'
import type { Plaintexts, Random } from '../random.ts'
import { RecordFile, type SoakRecord } from './record-file.ts'

/** As many objects as the store of the cluster has. */
export const OBJECTS = 200

export interface HandedOutRecord extends SoakRecord {
  /** The version of the Transit key that it needs. */
  readonly version: number
}

/** Everything that Encrypt handed out, and which of it is the present value of an object in the store. */
export class HandedOut {
  readonly plaintexts: Plaintexts
  readonly #file: RecordFile
  readonly #versions: number[] = []
  readonly #objects: number[] = []
  #made = 0

  constructor(path: string, plaintexts: Plaintexts) {
    this.#file = new RecordFile(path)
    this.plaintexts = plaintexts
  }

  get size(): number {
    return this.#file.size
  }

  get bytes(): number {
    return this.#file.bytes
  }

  /** The number of a plaintext that was not used before. */
  nextPlaintext(): number {
    this.#made += 1
    return this.#made
  }

  /** @param object which object of the store has this value from now on */
  add(plaintext: number, seed: WrappedSeed, version: number, object: number): void {
    this.#objects[object] = this.#file.add({ plaintext, seed })
    this.#versions.push(version)
  }

  get(place: number): HandedOutRecord {
    return { ...this.#file.get(place), version: this.#versions[place] ?? 0 }
  }

  /** The present value of an object; undefined if it was not written yet. */
  ofObject(object: number): HandedOutRecord | undefined {
    const place = this.#objects[object]
    return place === undefined ? undefined : this.get(place)
  }

  /** Objects that need a version older than this one. */
  objectsBefore(version: number): readonly number[] {
    return this.#objects.flatMap((place, object) =>
      (this.#versions[place] ?? 0) < version ? [object] : [],
    )
  }

  /** Any value, mostly a present one. Undefined if there is none. */
  pick(random: Random): HandedOutRecord | undefined {
    if (random.next() < 0.7) return this.ofObject(random.between(0, OBJECTS))
    return this.size === 0 ? undefined : this.get(random.between(0, this.size))
  }

  close(): void {
    this.#file.close()
  }
}
