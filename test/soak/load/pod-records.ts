import type { Random } from '../random.ts'
import { RecordFile } from './record-file.ts'

/** Everything that pods encrypted through their sockets. */
export class PodRecords {
  readonly #file: RecordFile
  readonly #nextPlaintext: () => number

  constructor(path: string, nextPlaintext: () => number) {
    this.#file = new RecordFile(path)
    this.#nextPlaintext = nextPlaintext
  }

  get size(): number {
    return this.#file.size
  }

  nextPlaintext(): number {
    return this.#nextPlaintext()
  }

  add(plaintext: number, ciphertext: string): void {
    const seed = { keyId: '', ciphertext: Buffer.from(ciphertext), annotations: {} }
    this.#file.add({ plaintext, seed })
  }

  get(place: number): { plaintext: number; ciphertext: string } {
    const { plaintext, seed } = this.#file.get(place)
    return { plaintext, ciphertext: Buffer.from(seed.ciphertext).toString() }
  }

  pick(random: Random): { plaintext: number; ciphertext: string } | undefined {
    return this.size === 0 ? undefined : this.get(random.between(0, this.size))
  }

  close(): void {
    this.#file.close()
  }
}
