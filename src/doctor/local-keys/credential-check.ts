import { timingSafeEqual } from 'node:crypto'
import { lstat, readdir } from 'node:fs/promises'

import { BridgeError } from '../../errors.ts'
import { readSecretFile } from '../../files/secret-file.ts'
import { SystemdCreds } from '../../files/systemd-creds.ts'
import {
  findCredentialKey,
  NODE_KEY_CREDENTIAL,
  NODE_KEY_FILE,
  NODE_KEY_UNIT,
} from '../../files/systemd-credential.ts'
import { explainFileError, systemCodeOf } from '../../files/system-error.ts'
import { fail, ok, unknown, warn, wordsOf, type Finding } from '../finding.ts'

const UNIT = `${NODE_KEY_UNIT}.service`

/** What setup node-key creates, and the devices of TPM 2s: the kernel's documentation, Documentation/ABI. */
export const CREDENTIAL_PLACES = {
  credential: NODE_KEY_CREDENTIAL,
  nodeKeyFile: NODE_KEY_FILE,
  tpms: '/sys/class/tpmrm',
  /** Exists while the unit is enabled. */
  unitLink: `/etc/systemd/system/multi-user.target.wants/${UNIT}`,
}

export type CredentialPlaces = typeof CREDENTIAL_PLACES

/** Far above the size of a node key, and of a credential that contains one. */
const MAX_BYTES = 64 * 1024

const CREATE = 'run transit-bridge setup node-key, and what it prints'
const REPLACE = 'run transit-bridge setup node-key --replace, and what it prints'
const WHAT = 'node key credential'

/**
 * The credential that setup node-key created, from which the node key comes at the next boot. No findings if something else
 * provides the node key.
 */
export async function checkCredential(
  nodeKeyFile: string,
  places: CredentialPlaces,
): Promise<readonly Finding[]> {
  const { credential } = places
  const found = await readSecretFile(credential, MAX_BYTES).catch((error: unknown) => ({ error }))
  if ('error' in found) return judgeUnread(found.error, nodeKeyFile, places)
  return [
    ...(await judgeProtection(findCredentialKey(found), places)),
    ...(await compareKeys(found, nodeKeyFile, credential)),
    ...(await checkUnit(places)),
  ]
}

async function judgeUnread(
  error: unknown,
  nodeKeyFile: string,
  places: CredentialPlaces,
): Promise<readonly Finding[]> {
  const { credential } = places
  if (error instanceof BridgeError) return [unknown(WHAT, error.message)]
  if (systemCodeOf(error) !== 'ENOENT')
    return [unknown(WHAT, `${credential} cannot be read: ${explainFileError(error)}`)]
  if (await isUnitEnabled(places))
    return [fail(WHAT, `${credential} is missing, so there is no node key after a reboot`, CREATE)]
  if (nodeKeyFile !== places.nodeKeyFile) return []
  const why = `${credential} is not here, so whether there is a node key after a reboot is unknown`
  return [unknown(WHAT, why, 'run doctor on the host')]
}

async function judgeProtection(
  key: ReturnType<typeof findCredentialKey>,
  { credential, tpms }: CredentialPlaces,
): Promise<readonly Finding[]> {
  switch (key) {
    case 'tpm2':
      return [ok(WHAT, `a TPM 2 encrypted ${credential}`)]
    case 'host':
      return [await judgeHostKey(credential, tpms)]
    case 'none':
      return [fail(WHAT, `${credential} is not encrypted`, REPLACE)]
    case undefined:
      return [unknown(WHAT, `${credential} does not show what encrypted it`, REPLACE)]
  }
}

async function judgeHostKey(credential: string, tpms: string): Promise<Finding> {
  const why = `${credential} is encrypted with a key that is on the same disk, so anyone with the disk has the local keys`
  const devices = await readdir(tpms).catch(() => [])
  return devices.length === 0
    ? ok(WHAT, `${why}; this machine has no TPM 2 that could prevent that`)
    : warn(WHAT, why, 'run transit-bridge setup node-key --with-key host+tpm2 --replace')
}

/** After a reboot, the node key is what systemd decrypts from the credential. */
async function compareKeys(
  found: Buffer,
  nodeKeyFile: string,
  credential: string,
): Promise<readonly Finding[]> {
  const creds = new SystemdCreds({})
  try {
    await creds.requireVersion()
  } catch (thrown) {
    const why = `whether this machine decrypts ${credential} is unknown: ${wordsOf(thrown)}`
    return [unknown(WHAT, why, 'run doctor on the host')]
  }
  const [stored, used] = [
    await decrypt(creds, found),
    await readSecretFile(nodeKeyFile, MAX_BYTES).catch(() => undefined),
  ]
  try {
    if (typeof stored === 'string')
      return [fail(WHAT, `this machine cannot decrypt ${credential}: ${stored}`, REPLACE)]
    // Another check reports a node key that cannot be read.
    if (used === undefined || isSame(stored, used)) return []
    const why = `${credential} contains another node key than ${nodeKeyFile}, so a reboot makes the sealed file unusable`
    return [fail(WHAT, why, `systemctl restart ${UNIT}`)]
  } finally {
    if (typeof stored !== 'string') stored.fill(0)
    used?.fill(0)
  }
}

async function decrypt(creds: SystemdCreds, credential: Buffer): Promise<Buffer | string> {
  try {
    return await creds.decrypt(credential)
  } catch (thrown) {
    return wordsOf(thrown)
  }
}

function isSame(one: Buffer, other: Buffer): boolean {
  return one.length === other.length && timingSafeEqual(one, other)
}

function isUnitEnabled({ unitLink }: CredentialPlaces): Promise<boolean> {
  return lstat(unitLink).then(
    () => true,
    () => false,
  )
}

async function checkUnit(places: CredentialPlaces): Promise<readonly Finding[]> {
  if (await isUnitEnabled(places)) return []
  const why = `${UNIT} is not enabled, so there is no node key after a reboot`
  return [fail('node key unit', why, `systemctl enable ${UNIT}`)]
}
