import { BridgeError } from '../errors.ts'
import { openSeed } from '../seed/local-seal.ts'
import { openPayload } from '../storage/payload.ts'
import type { Finding } from '../verify/proof.ts'
import type { Need } from './need.ts'

/**
 * Decrypts an object with the key that it needs and nothing else, which needs no Vault. The receiver owns the plaintext and
 * zeroes it.
 */
export function openObject(
  { value, envelope }: Need,
  secret: Buffer,
  etcdKey: Uint8Array,
): Buffer | Finding {
  if (envelope.sealed === undefined) return judge(openPayload(value, secret, etcdKey))
  let seed: Buffer
  try {
    seed = openSeed(secret, envelope.sealed)
  } catch (thrown) {
    const { code, message } = BridgeError.from(thrown)
    return { kind: 'unreadable', why: message, code }
  }
  try {
    return judge(openPayload(value, seed, etcdKey))
  } finally {
    seed.fill(0)
  }
}

function judge(opened: Buffer | string): Buffer | Finding {
  return typeof opened === 'string' ? { kind: 'unreadable', why: opened } : opened
}
