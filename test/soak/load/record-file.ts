import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import type { WrappedSeed } from '../../real/program/kms-client.ts'

/** A ciphertext that was handed out. The number of its plaintext says what it must decrypt to. */
export interface SoakRecord {
  readonly plaintext: number
  readonly seed: WrappedSeed
}

/** Everything that was handed out, in a file; the memory has eight bytes of each. */
export class RecordFile {
  readonly #file: number
  readonly #offsets: number[] = []
  #end = 0

  constructor(path: string) {
    this.#file = openSync(path, 'wx+', 0o600)
  }

  get size(): number {
    return this.#offsets.length
  }

  get bytes(): number {
    return this.#end
  }

  /** Returns its place, for {@link get}. */
  add(record: SoakRecord): number {
    const bytes = encode(record)
    writeSync(this.#file, bytes, 0, bytes.length, this.#end)
    this.#offsets.push(this.#end)
    this.#end += bytes.length
    return this.#offsets.length - 1
  }

  get(place: number): SoakRecord {
    const from = this.#offsets[place]
    if (from === undefined) throw new Error(`no record ${String(place)}`)
    const bytes = Buffer.alloc((this.#offsets[place + 1] ?? this.#end) - from)
    readSync(this.#file, bytes, 0, bytes.length, from)
    return decode(bytes)
  }

  close(): void {
    closeSync(this.#file)
  }
}

/** A number of four bytes, then texts and bytes, each after its length. */
function encode({ plaintext, seed }: SoakRecord): Buffer {
  const fields = [
    Buffer.from(seed.keyId),
    seed.ciphertext,
    ...Object.entries(seed.annotations).flatMap(([name, value]) => [Buffer.from(name), value]),
  ]
  const number = Buffer.alloc(4)
  number.writeUInt32LE(plaintext)
  const lengths = fields.map(({ length }) => {
    const bytes = Buffer.alloc(2)
    bytes.writeUInt16LE(length)
    return bytes
  })
  return Buffer.concat([number, ...fields.flatMap((field, at) => [lengths[at] as Buffer, field])])
}

function decode(bytes: Buffer): SoakRecord {
  const fields: Buffer[] = []
  for (let at = 4; at < bytes.length;) {
    const length = bytes.readUInt16LE(at)
    fields.push(bytes.subarray(at + 2, at + 2 + length))
    at += 2 + length
  }
  const [keyId = Buffer.alloc(0), ciphertext = Buffer.alloc(0), ...rest] = fields
  const annotations: Record<string, Uint8Array> = {}
  for (let at = 0; at + 1 < rest.length; at += 2)
    annotations[String(rest[at])] = rest[at + 1] as Buffer
  return {
    plaintext: bytes.readUInt32LE(),
    seed: { keyId: String(keyId), ciphertext, annotations },
  }
}
