import { findWrappedKey } from '../../../src/seed/annotations.ts'
import { Plugin } from '../../real/program/plugin.ts'
import { countRight } from './lost-ciphertexts.ts'
import { DATA_KEY } from './volume-class.ts'
import type { World } from '../members/world.ts'

const DEADLINE = { timeout: 30_000 }

export interface Decrypted {
  readonly handedOut: number
  readonly decrypted: number
  readonly ofPods: number
  readonly decryptedOfPods: number
  readonly fileBytes: number
  /** How many local keys the DEK seeds need. */
  readonly localKeys: number
}

/**
 * Decrypts everything that was ever handed out: DEK seeds with a new process that has no local key, what pods have with OpenBao.
 * Disabled versions are enabled again for that.
 */
export async function decryptAll(world: World): Promise<Decrypted> {
  const { handedOut, podRecords, kms, versions, findings, pods } = world
  await versions.setMinDecryption(1)
  const document = { ...kms.configuration(), log: { level: 'info' } }
  const plugin = await Plugin.start(document)
  const localKeys = new Set<string>()
  try {
    await plugin.waitForHealth('ok')
    const onFault = findings.add.bind(findings)
    const decrypted = await countRight({
      count: handedOut.size,
      decrypt: async (place) => {
        const { seed, plaintext } = handedOut.get(place)
        const wrappedKey = findWrappedKey(seed.annotations)
        if (wrappedKey !== undefined) localKeys.add(Buffer.from(wrappedKey).toString())
        const returned = await plugin.client.decrypt(seed, DEADLINE)
        return returned.equals(handedOut.plaintexts.make(plaintext))
      },
      onFault,
    })
    const decryptedOfPods = await countRight({
      count: podRecords.size,
      decrypt: async (place) => {
        const { ciphertext, plaintext } = podRecords.get(place)
        const path = `transit/decrypt/${DATA_KEY}`
        const { data } = await pods.bao.api('POST', path, { ciphertext })
        const expected = handedOut.plaintexts.make(plaintext).toString('base64')
        return data.plaintext === expected
      },
      onFault,
    })
    return {
      handedOut: handedOut.size,
      decrypted,
      ofPods: podRecords.size,
      decryptedOfPods,
      fileBytes: handedOut.bytes,
      localKeys: localKeys.size,
    }
  } finally {
    plugin.client.close()
    await plugin.program.terminate()
  }
}
