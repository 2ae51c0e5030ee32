import type { PodVault } from '../../csi/pod-vault.ts'
import type { Mounted } from '../../real/program/csi-client.ts'
import { rememberSecret } from '../../real/program/told-secrets.ts'

export const SIGNING_KEY = 'app-signing'
export const DATA_KEY = 'app-data'
const VALUES = 3

/** A class with several objects, and what a volume of it must contain. */
export class VolumeClass {
  readonly objects: readonly object[]
  readonly #values: ReadonlyMap<string, string>

  /** @param mark part of each value, which no log may contain */
  static async create(vault: PodVault, name: string, mark: Buffer): Promise<VolumeClass> {
    const values = new Map<string, string>()
    const objects: object[] = [
      { path: 'signing.pem', type: 'publicKey', key: SIGNING_KEY },
      { path: 'jwks.json', type: 'jwks', key: SIGNING_KEY },
    ]
    for (let count = 0; count < VALUES; count += 1) {
      const path = `values/${String(count)}`
      const value = `${mark.toString('base64')} ${name} ${String(count)}`
      rememberSecret(value)
      values.set(path, value)
      const ciphertext = await vault.encrypt(DATA_KEY, value)
      objects.push({ path, type: 'decrypt', key: DATA_KEY, ciphertext })
    }
    return new VolumeClass(objects, values)
  }

  constructor(objects: readonly object[], values: ReadonlyMap<string, string>) {
    this.objects = objects
    this.#values = values
  }

  /** What is wrong with the response of a Mount; undefined if nothing is. */
  findFault({ files, versions }: Mounted, publicKeys: ReadonlySet<string>): string | undefined {
    const count = this.objects.length
    if (files.size !== count || versions.size !== count)
      return `${String(files.size)} files and ${String(versions.size)} versions of ${String(count)}`
    for (const [path, value] of this.#values)
      if (String(files.get(path)?.contents) !== value) return `a wrong content of ${path}`
    if (!publicKeys.has(String(files.get('signing.pem')?.contents).trim()))
      return 'a public key that Transit does not have'
    const { keys } = JSON.parse(String(files.get('jwks.json')?.contents)) as { keys?: unknown[] }
    return keys === undefined || keys.length === 0 ? 'a key set without keys' : undefined
  }
}
