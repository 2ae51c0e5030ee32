import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { BridgeError } from '../../../src/errors.ts'
import { makeKeyId } from '../../../src/seed/key-id.ts'
import type { DecryptInput, DecryptResult, Transit } from '../../../src/transit/transit.ts'
import { KEY, type KmsVault } from '../../real/vault/kms-vault.ts'
import { configKey, rotateKey } from '../../real/vault/transit-setup.ts'
import { CREATED, transitKey } from '../../kms/transit-key.ts'

export const CLUSTER = 'test-cluster'
/** Of kms.alsoDecryptClusters. */
export const FORMER_CLUSTER = 'former-cluster'
export const LATEST_VERSION = 4
/** Lower versions are disabled once all stores are encrypted. */
export const MIN_VERSION = 2

/** Wraps DEK sources with versions 1 to {@link LATEST_VERSION} of a Transit key. */
export type KeyRing = {
  wrap(source: Buffer, version: number, associatedData?: Buffer): Promise<string>
  keyId(clusterId: string, version: number, keyName?: string): string
}

function keyIdOf(created: (version: number) => number): KeyRing['keyId'] {
  return (clusterId, keyVersion, keyName = KEY) =>
    makeKeyId({ clusterId, keyName, keyVersion, createdAt: created(keyVersion) })
}

/** The real Transit, for which {@link disableOldVersions} is called when all stores are encrypted. */
export async function realKeyRing({ bao }: KmsVault): Promise<KeyRing> {
  for (let version = 2; version <= LATEST_VERSION; version += 1) await rotateKey(bao, KEY)
  const { data } = await bao.api('GET', `transit/keys/${KEY}`)
  return {
    keyId: keyIdOf((version) => Number(data.keys[String(version)] ?? 1)),
    async wrap(source, version, associatedData) {
      const { data: answer } = await bao.api('POST', `transit/encrypt/${KEY}`, {
        plaintext: source.toString('base64'),
        associated_data: associatedData?.toString('base64'),
        key_version: version,
      })
      return String(answer.ciphertext)
    },
  }
}

export function disableOldVersions({ bao }: KmsVault): Promise<unknown> {
  return configKey(bao, KEY, { min_decryption_version: MIN_VERSION })
}

/**
 * A fake Transit, so that a thousand stores take seconds: AES-256-GCM with a key for each version. What the real one
 * returns is tested in test/e2e/verify/random-stores.test.ts with the same stores.
 */
export class MemoryTransit implements KeyRing, Pick<Transit, 'readKey' | 'decrypt'> {
  readonly #keys = new Map<number, Buffer>()
  readonly keyId = keyIdOf((version) => CREATED + (version - 1) * 3_600)

  constructor() {
    for (let version = 1; version <= LATEST_VERSION; version += 1)
      this.#keys.set(version, randomBytes(32))
  }

  wrap(source: Buffer, version: number, associatedData = Buffer.alloc(0)): Promise<string> {
    const nonce = randomBytes(12)
    const cipher = createCipheriv('aes-256-gcm', this.#keyOf(version), nonce).setAAD(associatedData)
    const body = Buffer.concat([nonce, cipher.update(source), cipher.final(), cipher.getAuthTag()])
    return Promise.resolve(`vault:v${String(version)}:${body.toString('base64')}`)
  }

  readKey(): ReturnType<Transit['readKey']> {
    return Promise.resolve(transitKey(LATEST_VERSION, { from: MIN_VERSION }))
  }

  /** As Transit returns it: the fault of a single value is the fault of the request. */
  decrypt(_key: string, inputs: readonly DecryptInput[]): Promise<DecryptResult[]> {
    const results = inputs.map((input) => this.#open(input))
    const [first] = results
    if (results.length === 1 && first instanceof BridgeError) return Promise.reject(first)
    return Promise.resolve(results)
  }

  #open({ ciphertext, associatedData }: DecryptInput): DecryptResult {
    const [, version = '', encoded = ''] = /^vault:v(\d+):(.*)$/.exec(ciphertext) ?? []
    const body = Buffer.from(encoded, 'base64')
    try {
      const key = this.#keyOf(Number(version))
      const decipher = createDecipheriv('aes-256-gcm', key, body.subarray(0, 12))
      decipher.setAAD(associatedData ?? Buffer.alloc(0)).setAuthTag(body.subarray(-16))
      return Buffer.concat([decipher.update(body.subarray(12, -16)), decipher.final()])
    } catch {
      return new BridgeError('CIPHERTEXT_INVALID', 'message authentication failed')
    }
  }

  #keyOf(version: number): Buffer {
    const key = this.#keys.get(version)
    if (key === undefined) throw new TypeError(`there is no version ${String(version)}`)
    return key
  }
}
