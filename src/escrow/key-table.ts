import { BridgeError } from '../errors.ts'
import { MAX_ENTRIES, type EntryKind, type EscrowManifest } from './manifest.ts'

type Entry = EscrowManifest['entries'][number]

/** The secrets of an escrow by the id of what they open. It owns its buffers and zeroes them at its end. */
export class KeyTable {
  readonly #secrets = new Map<string, { readonly entry: Entry; readonly secret: Buffer }>()

  find(id: string): Buffer | undefined {
    return this.#secrets.get(id)?.secret
  }

  /** Takes over the secret. Throws STATE_INVALID if there are too many. */
  add(kind: EntryKind, id: string, secret: Buffer): void {
    if (this.#secrets.size >= MAX_ENTRIES) {
      secret.fill(0)
      throw new BridgeError(
        'STATE_INVALID',
        `an escrow holds at most ${String(MAX_ENTRIES)} keys; enable kms.localKeys and run transit-bridge rotate, so that few local keys open all objects`,
      )
    }
    this.#secrets.set(id, { entry: { kind, id }, secret })
  }

  get entries(): readonly Entry[] {
    return [...this.#secrets.values()].map(({ entry }) => entry)
  }

  count(kind: EntryKind): number {
    return this.entries.filter((entry) => entry.kind === kind).length
  }

  /** The secrets in the order of {@link entries}, each after its length. The caller zeroes them. */
  encode(): Buffer {
    const secrets = [...this.#secrets.values()].map(({ secret }) => secret)
    const bytes = Buffer.alloc(secrets.reduce((sum, { length }) => sum + 4 + length, 0))
    let at = 0
    for (const secret of secrets) {
      at = bytes.writeUInt32BE(secret.length, at)
      at += secret.copy(bytes, at)
    }
    return bytes
  }

  /** Reads what {@link encode} returned. Throws FILE_DAMAGED. */
  static decode(bytes: Buffer, entries: readonly Entry[]): KeyTable {
    const table = new KeyTable()
    let at = 0
    for (const { kind, id } of entries) {
      const length = at + 4 <= bytes.length ? bytes.readUInt32BE(at) : Infinity
      at += 4
      if (at + length > bytes.length || table.#secrets.has(id)) throw table.#mismatch()
      table.add(kind, id, Buffer.from(bytes.subarray(at, at + length)))
      at += length
    }
    if (at !== bytes.length) throw table.#mismatch()
    return table
  }

  end(): void {
    for (const { secret } of this.#secrets.values()) secret.fill(0)
    this.#secrets.clear()
  }

  #mismatch(): BridgeError {
    this.end()
    return new BridgeError(
      'FILE_DAMAGED',
      'the keys in the escrow do not match its list; another version of transit-bridge wrote it',
    )
  }
}
