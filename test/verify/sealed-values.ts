import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { encodeAssociatedData, makeAnnotations } from '../../src/seed/annotations.ts'
import { makeKeyId } from '../../src/seed/key-id.ts'
import { KEY, type KmsVault } from '../real/vault/kms-vault.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { rememberSecret } from '../real/program/told-secrets.ts'
import { kmsV2Value, sealBySeed } from './envelopes.ts'

const CLUSTER = 'test-cluster'

/** A seed as it is in an API server's memory, and as it is in etcd. */
export type SeedInUse = { seed: Buffer; ciphertext: string; keyId: string }

/** The plugin's configuration file, as --deep and --offline take it. */
export function writeConfig(vault: KmsVault, kms: Readonly<Record<string, unknown>> = {}): string {
  const file = join(tempFolder('verify'), 'config.yaml')
  const { vault: section } = vault.configuration()
  const document = { vault: section, transit: { key: KEY }, kms: { clusterId: CLUSTER, ...kms } }
  writeFileSync(file, stringify(document))
  return file
}

/** Seeds that the real Transit wrapped as for the plugin, with all versions of the key in turn. */
export async function makeSeeds(
  vault: KmsVault,
  count: number,
  keyName = KEY,
): Promise<SeedInUse[]> {
  const { data } = await vault.bao.api('GET', `transit/keys/${keyName}`)
  const associated_data = encodeAssociatedData(makeAnnotations(CLUSTER)).toString('base64')
  const seeds: SeedInUse[] = []
  for (let at = 0; at < count; at += 1) {
    const keyVersion = 1 + (at % Number(data.latest_version))
    const seed = randomBytes(32)
    rememberSecret(seed)
    const plaintext = seed.toString('base64')
    const request = { plaintext, associated_data, key_version: keyVersion }
    const answer = await vault.bao.api('POST', `transit/encrypt/${keyName}`, request)
    const createdAt = Number(data.keys[String(keyVersion)])
    const keyId = makeKeyId({ clusterId: CLUSTER, keyName, keyVersion, createdAt })
    seeds.push({ seed, ciphertext: String(answer.data.ciphertext), keyId })
  }
  return seeds
}

/** An object as kube-apiserver stores it under such a seed. */
export function sealedValue(key: string, plaintext: string, use: SeedInUse | undefined): Buffer {
  if (use === undefined) throw new Error('there is no seed')
  return kmsV2Value({
    keyId: use.keyId,
    source: Buffer.from(use.ciphertext),
    annotations: { ...makeAnnotations(CLUSTER) },
    data: sealBySeed(use.seed, key, plaintext),
  })
}
