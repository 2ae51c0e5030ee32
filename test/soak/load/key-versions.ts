import { makeKeyId } from '../../../src/seed/key-id.ts'
import { KEY } from '../../real/vault/kms-vault.ts'
import type { OpenBao } from '../../real/vault/openbao.ts'
import { rotateKey } from '../../real/vault/transit-setup.ts'
import { persist } from '../faults/persistence.ts'

/** What Plugin writes into each configuration. */
const CLUSTER_ID = 'test-cluster'

/** The versions of the Transit key of the cluster, and which key id means which of them. */
export class KeyVersions {
  latest = 1
  /** Data of older versions is refused, since `raisedAt`. */
  minDecryption = 1
  raisedAt = 0
  readonly #bao: OpenBao
  readonly #versions = new Map<string, number>()

  constructor(bao: OpenBao) {
    this.#bao = bao
  }

  async rotate(): Promise<void> {
    await persist(() => rotateKey(this.#bao, KEY))
    await this.refresh()
  }

  async setMinDecryption(version: number): Promise<void> {
    const body = { min_decryption_version: version }
    // Vault may obey before it answers.
    this.minDecryption = version
    await persist(() => this.#bao.api('POST', `transit/keys/${KEY}/config`, body))
    this.raisedAt = performance.now()
  }

  async refresh(): Promise<void> {
    const { data } = await persist(() => this.#bao.api('GET', `transit/keys/${KEY}`))
    this.latest = data.latest_version as number
    for (const [version, createdAt] of Object.entries(data.keys as Record<string, number>)) {
      const keyVersion = Number(version)
      const parts = { clusterId: CLUSTER_ID, keyName: KEY, keyVersion, createdAt }
      this.#versions.set(makeKeyId(parts), keyVersion)
    }
  }

  /** Undefined if it is the id of no version. */
  async versionOf(keyId: string): Promise<number | undefined> {
    if (!this.#versions.has(keyId)) await this.refresh()
    return this.#versions.get(keyId)
  }

  get count(): number {
    return this.#versions.size
  }
}
