import { constants } from 'node:fs'
import { access, lstat, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

import type { LocalKeysConfig } from '../../config/config.ts'
import { readWithinTime } from '../../files/bounded-read.ts'
import { isInMemory } from '../../files/memory-file-system.ts'
import { explainFileError, systemCodeOf } from '../../files/system-error.ts'
import { wipeLocalKeys, type SealedOwner } from '../../kms/local/sealed-format.ts'
import { describeCount } from '../../text/count.ts'
import { describeDuration, describeHours } from '../../time/duration.ts'
import { checkCredential, CREDENTIAL_PLACES } from './credential-check.ts'
import { fail, ok, unknown, warn, type Finding } from '../finding.ts'
import { formatMode } from '../host-file.ts'
import { checkPathRights } from '../path-rights.ts'
import { readStartReadiness, type SealedPlace } from './start-readiness.ts'

const MAKE_KEY = 'run transit-bridge setup node-key, and start its unit'

/** kms.localKeys.sealedFile: the node key, the file, and how long it lets this node start without Vault. */
export async function checkSealedFile(
  { sealedFile, nodeKeyFile, enabled, offlineForMs }: LocalKeysConfig,
  owner: SealedOwner,
  owners: readonly number[],
  places = CREDENTIAL_PLACES,
): Promise<readonly Finding[]> {
  if (!enabled || sealedFile === undefined || nodeKeyFile === undefined) return []
  const nodeKey = await checkNodeKey(nodeKeyFile, owners)
  const place = await checkPlace(sealedFile, owners)
  const others = [...(await checkCredential(nodeKeyFile, places)), ...place]
  if (nodeKey.some(({ level }) => level === 'fail' || level === 'unknown'))
    return [...nodeKey, ...others]
  const start = await checkStart({ sealedFile, nodeKeyFile, offlineForMs }, owner)
  return [...nodeKey, ...others, start]
}

/** Whether other users can read or replace the file, and whether the plugin can write it. */
async function checkPlace(path: string, owners: readonly number[]): Promise<readonly Finding[]> {
  const what = 'sealed file'
  const folder = dirname(path)
  const found = await readWithinTime(path, () => lstat(path)).catch(() => undefined)
  const rights = await checkPathRights(what, found === undefined ? folder : path, owners)
  const readers = found?.isFile() === true ? checkReaders(path, found.mode & 0o777) : []
  return [...rights, ...readers, ...(await checkFolder(folder)), ...(await checkDisk(path, folder))]
}

function checkReaders(path: string, mode: number): readonly Finding[] {
  if ((mode & 0o044) === 0) return []
  const why = `${path} has mode ${formatMode(mode)}: other users can copy it, and use the copy if they get the node key`
  return [warn('sealed file', why, `chmod 0600 ${path} (the next write also corrects it)`)]
}

async function checkDisk(path: string, folder: string): Promise<readonly Finding[]> {
  // Another check reports a folder that does not exist.
  if (!(await readWithinTime(folder, () => isInMemory(folder)).catch(() => false))) return []
  const why = `${folder} is in memory, so a reboot removes ${path}, and the plugin cannot start without Vault then`
  return [warn('sealed file', why, 'set kms.localKeys.sealedFile to a path on a disk')]
}

async function checkFolder(folder: string): Promise<readonly Finding[]> {
  const what = 'sealed file'
  try {
    await readWithinTime(folder, () => access(folder, constants.W_OK))
    return []
  } catch (thrown) {
    switch (systemCodeOf(thrown)) {
      case 'ENOENT':
        return [fail(what, `${folder} does not exist`, `create it: mkdir -m 0700 ${folder}`)]
      case 'EROFS':
        return [
          fail(
            what,
            `${folder} is mounted read-only, so the plugin cannot write the file, or remove it after a refusal`,
            'mount it read-write',
          ),
        ]
      // The user who runs doctor may have fewer rights than the plugin.
      case undefined:
      default:
        return []
    }
  }
}

async function checkStart(place: SealedPlace, owner: SealedOwner): Promise<Finding> {
  const judged = await readStartReadiness(place, owner)
  if ('why' in judged) return fail('sealed file', judged.why, judged.fix)
  const count = describeCount(judged.state.localKeys.length, 'local key')
  wipeLocalKeys(judged.state)
  return ok(
    'sealed file',
    `${count}, Vault last answered ${describeDuration(judged.ageMs)} ago; the plugin can start without Vault for ${describeHours(judged.leftMs)}, and so can its API server if all data is under these local keys, which transit-bridge verify --offline proves`,
  )
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
