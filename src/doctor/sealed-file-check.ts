import { readdir, readFile, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

import type { LocalKeysConfig } from '../config/config.ts'
import { isInMemory } from '../files/memory-file-system.ts'
import { explainFileError, systemCodeOf } from '../files/system-error.ts'
import { findCredentialKey, NODE_KEY_CREDENTIAL } from '../files/systemd-credential.ts'
import { SealedFile } from '../kms/local/sealed-file.ts'
import type { OfflineState, SealedOwner } from '../kms/local/sealed-format.ts'
import { readMoment, timeBetween } from '../time/boot-time.ts'
import { describeDuration } from '../time/duration.ts'
import { fail, ok, unknown, warn, type Finding } from './finding.ts'
import { formatMode } from './host-file.ts'
import { checkPathRights } from './path-rights.ts'

/** Where the credential with the node key is, and the devices of TPM 2s: the kernel's documentation, Documentation/ABI. */
const PLACES = { credential: NODE_KEY_CREDENTIAL, tpms: '/sys/class/tpmrm' }

const MAKE_KEY = 'run transit-bridge setup node-key, and start its unit'
const CHECK_KEY = 'run transit-bridge setup node-key, which checks that this machine decrypts it'

/** kms.localKeys.sealedFile: the node key, the file, and how long it lets this node start without Vault. */
export async function checkSealedFile(
  { sealedFile, nodeKeyFile, enabled, offlineForMs }: LocalKeysConfig,
  owner: SealedOwner,
  owners: readonly number[],
  places = PLACES,
): Promise<readonly Finding[]> {
  if (!enabled || sealedFile === undefined || nodeKeyFile === undefined) return []
  const nodeKey = await checkNodeKey(nodeKeyFile, owners)
  const others = [
    ...(await checkCredential(places)),
    ...(await checkPathRights('sealed file', dirname(sealedFile), owners)),
  ]
  if (nodeKey.some(({ level }) => level === 'fail' || level === 'unknown'))
    return [...nodeKey, ...others]
  // The fault is a finding.
  const log = { warn: () => undefined }
  const file = new SealedFile({ path: sealedFile, nodeKeyFile, owner, log })
  const state = await file.load()
  for (const { key } of state?.localKeys ?? []) key.fill(0)
  return [...nodeKey, ...others, judge(sealedFile, file.fault, state, offlineForMs)]
}

function judge(
  path: string,
  fault: string | undefined,
  state: OfflineState | undefined,
  offlineForMs: number,
): Finding {
  if (fault !== undefined) return fail('sealed file', fault, 'see the log of the plugin')
  if (state === undefined)
    return fail('sealed file', `${path} does not exist`, 'start the plugin while Vault answers')
  const ageMs = timeBetween(state.agreedAt, readMoment())
  if (ageMs === undefined)
    return fail('sealed file', `the clock of this node is behind ${path}`, 'set the clock')
  if (!state.localKeys.some(({ isOwn }) => isOwn))
    return fail(
      'sealed file',
      `${path} has no local key that encrypts`,
      'see the log of the plugin',
    )
  const leftMs = offlineForMs - ageMs
  const what = `${String(state.localKeys.length)} local keys, Vault last answered ${describeDuration(ageMs)} ago`
  if (leftMs <= 0)
    return fail('sealed file', `${what}, longer than kms.localKeys.offlineFor`, 'fix Vault first')
  return ok(
    'sealed file',
    `${what}; the plugin can start without Vault for ${describeDuration(leftMs)}, and so can its API server if all data is under local keys (transit-bridge verify)`,
  )
}

/** A credential that setup node-key created; without one, something else provides the node key. */
async function checkCredential({ credential, tpms }: typeof PLACES): Promise<readonly Finding[]> {
  const what = 'node key credential'
  const found = await readFile(credential).catch(() => undefined)
  if (found === undefined) return []
  switch (findCredentialKey(found)) {
    case 'tpm2':
      return [ok(what, `a TPM 2 encrypted ${credential}`)]
    case 'host':
      return [await judgeHostKey(what, credential, tpms)]
    case 'none':
      return [fail(what, `${credential} is not encrypted`, `${MAKE_KEY}, with --replace`)]
    case undefined:
      return [unknown(what, `${credential} does not show what encrypted it`, CHECK_KEY)]
  }
}

async function judgeHostKey(what: string, credential: string, tpms: string): Promise<Finding> {
  const why = `${credential} is encrypted with a key that is on the same disk, so anyone with the disk has the local keys`
  const devices = await readdir(tpms).catch(() => [])
  return devices.length === 0
    ? ok(what, `${why}; this machine has no TPM 2 that could prevent that`)
    : warn(what, why, 'run transit-bridge setup node-key --with-key host+tpm2 --replace')
}

async function checkNodeKey(path: string, owners: readonly number[]): Promise<readonly Finding[]> {
  try {
    const [found, inMemory] = await Promise.all([stat(path), isInMemory(path)])
    const mode = found.mode & 0o777
    if ((mode & 0o077) !== 0) {
      const why = `${path} has mode ${formatMode(mode)}: other users can read the node key`
      return [fail('node key', why, `chmod 0400 ${path}`)]
    }
    const rights = await checkPathRights('node key', path, owners)
    if (inMemory) return [...rights, ok('node key', path)]
    const why = `${path} is on a disk, so anyone with the disk has the local keys`
    return [...rights, warn('node key', why, `${MAKE_KEY}, which puts it into memory`)]
  } catch (thrown) {
    if (systemCodeOf(thrown) === 'ENOENT')
      return [fail('node key', `${path} does not exist`, MAKE_KEY)]
    const why = `${path} cannot be checked: ${explainFileError(thrown)}`
    return [unknown('node key', why, 'run doctor as root')]
  }
}
