import { Decrypter, Encrypter } from 'age-encryption'

import { BridgeError } from '../errors.ts'
import { readTextFile } from '../files/text-file.ts'

/** Throws USAGE_INVALID unless all are age recipients. */
export function checkRecipients(recipients: readonly string[]): void {
  makeEncrypter(recipients)
}

/** Encrypts the file key so that each recipient alone can decrypt it. */
export async function encryptToRecipients(
  fileKey: Uint8Array,
  recipients: readonly string[],
): Promise<string> {
  return Buffer.from(await makeEncrypter(recipients).encrypt(fileKey)).toString('base64')
}

function makeEncrypter(recipients: readonly string[]): Encrypter {
  const encrypter = new Encrypter()
  for (const recipient of recipients) {
    try {
      encrypter.addRecipient(recipient)
    } catch (cause) {
      const message = `--recipient ${show(recipient)} is not an age recipient; recipients start with age1 (age-keygen prints them)`
      throw new BridgeError('USAGE_INVALID', message, { cause })
    }
  }
  return encrypter
}

/** A mistyped recipient: after age1, it has only the letters of Bech32 (https://age-encryption.org/v1, "The X25519 recipient type"). */
const LIKE_RECIPIENT = /^age1[02-9ac-hj-np-z]+$/

/** What was passed may be an identity, a part of one, or a password. */
function show(recipient: string): string {
  return LIKE_RECIPIENT.test(recipient)
    ? JSON.stringify(recipient)
    : '(not shown: it may be secret)'
}

/** Decrypts the file key with a file of age identities. Throws USAGE_INVALID. The caller zeroes the result. */
export async function decryptByIdentity(age: string, file: string): Promise<Uint8Array> {
  const label = `--identity ${file}`
  const text = await readTextFile(file, label)
  if (text.startsWith('age-encryption.org/') || text.startsWith('-----BEGIN AGE')) {
    const hint = 'decrypt it first, into a file on tmpfs: age --decrypt'
    throw new BridgeError('USAGE_INVALID', `${label}: is encrypted with a passphrase; ${hint}`)
  }
  const lines = text.split('\n').map((line) => line.trim())
  const identities = lines.filter((line) => line !== '' && !line.startsWith('#'))
  const decrypter = new Decrypter()
  try {
    for (const identity of identities) decrypter.addIdentity(identity)
  } catch (cause) {
    const message = `${label}: is not a file of age identities (AGE-SECRET-KEY-1…)`
    throw new BridgeError('USAGE_INVALID', message, { cause })
  }
  try {
    return await decrypter.decrypt(Buffer.from(age, 'base64'))
  } catch (cause) {
    const message = `${label}: has no identity that this escrow was encrypted to`
    throw new BridgeError('USAGE_INVALID', message, { cause })
  }
}
