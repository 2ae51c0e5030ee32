import { BridgeError } from '../errors.ts'
import type { StoredObject } from '../etcd/store.ts'
import type { Finding, ParsedObject, Proof } from '../verify/proof.ts'
import { explainMissing } from './coverage.ts'
import { makeReadable } from './kubernetes-object.ts'
import type { KeyTable } from './key-table.ts'
import type { EscrowManifest } from './manifest.ts'
import { findNeed, isNeed } from './need.ts'
import { openObject } from './object-opening.ts'
import { writeObject } from './out-folder.ts'

export interface RecoveryOptions {
  readonly table: KeyTable
  readonly manifest: EscrowManifest
  readonly folder: string
  /** Of all keys, with a slash at the end. */
  readonly prefix: string
}

/** Decrypts each encrypted object of a store with the keys of an escrow and writes it to a folder. */
export class Recovery implements Proof {
  readonly #options: RecoveryOptions
  /** Secrets and ConfigMaps that kubectl can apply. */
  manifests = 0
  /** Objects of other kinds. */
  others = 0

  constructor(options: RecoveryOptions) {
    this.#options = options
  }

  async check(objects: readonly ParsedObject[]): Promise<readonly (Finding | undefined)[]> {
    const findings: (Finding | undefined)[] = []
    for (const object of objects) findings.push(await this.#recover(object))
    return findings
  }

  end(): void {
    this.#options.table.end()
  }

  async #recover({ key, stored }: ParsedObject): Promise<Finding | undefined> {
    const { table, manifest } = this.#options
    const need = findNeed(stored, true)
    if (!isNeed(need)) return need
    const secret = table.find(need.id)
    if (secret === undefined) return explainMissing(need, manifest)
    const opened = openObject(need, secret, key)
    if (!Buffer.isBuffer(opened)) return opened
    try {
      await this.#write(key, opened)
      return undefined
    } catch (thrown) {
      // The other objects are still written.
      const { code, message } = BridgeError.from(thrown)
      return { kind: 'unreadable', why: `it was decrypted, but ${message}`, code }
    } finally {
      opened.fill(0)
    }
  }

  async #write(key: StoredObject['key'], plaintext: Buffer): Promise<void> {
    const { folder, prefix } = this.#options
    const path = Buffer.from(key).subarray(Buffer.byteLength(prefix))
    const readable = makeReadable(plaintext)
    try {
      await writeObject(folder, path, readable)
    } finally {
      readable.content.fill(0)
    }
    if (readable.isManifest) this.manifests += 1
    else this.others += 1
  }
}
