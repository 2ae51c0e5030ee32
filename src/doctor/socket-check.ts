import { lstat } from 'node:fs/promises'
import { dirname } from 'node:path'

import type { KmsConfig } from '../config/config.ts'
import { makeRoundTrip } from '../kms/round-trip.ts'
import { systemCodeOf } from '../files/system-error.ts'
import { fail, ok, unknown, wordsOf, type Finding } from './finding.ts'
import { formatMode } from './host-file.ts'
import { checkPathRights } from './path-rights.ts'

const RUN_IT = 'start the plugin: transit-bridge kms, by its static pod or systemd unit'

/** The plugin's socket: whether it exists, who may open it, and whether the plugin encrypts and decrypts. */
export async function checkSocket(kms: KmsConfig): Promise<readonly Finding[]> {
  const { socket } = kms
  try {
    const found = await lstat(socket)
    if (!found.isSocket())
      return [fail('socket', `${socket} is not a socket`, 'remove it, then start the plugin')]
    return [
      checkMode(kms, found.mode & 0o777),
      ...(await checkPathRights('socket rights', dirname(socket), [found.uid])),
      await checkService(socket),
    ]
  } catch (thrown) {
    const code = systemCodeOf(thrown)
    if (code === 'ENOENT' || code === 'ENOTDIR')
      return [fail('socket', `${socket} does not exist`, RUN_IT)]
    const why = code === 'EACCES' ? 'permission denied' : (code ?? wordsOf(thrown))
    return [unknown('socket', `${socket} cannot be checked: ${why}`, 'run doctor as root')]
  }
}

/** The user that runs the plugin, to whom its files may belong: the owner of its socket. */
export async function findPluginUser(socket: string): Promise<readonly number[]> {
  const found = await lstat(socket).catch(() => undefined)
  return found?.isSocket() === true ? [found.uid] : []
}

function checkMode({ socket, socketMode }: KmsConfig, mode: number): Finding {
  if ((mode & 0o006) !== 0) {
    const why = `${socket} has mode ${formatMode(mode)}: every user of this host can decrypt Secrets`
    return fail(
      'socket rights',
      why,
      `chmod ${formatMode(socketMode)} ${socket}, and find out who changed it`,
    )
  }
  if (mode !== socketMode) {
    const why = `${socket} has mode ${formatMode(mode)}, and kms.socketMode is ${formatMode(socketMode)}`
    return fail('socket rights', why, 'restart the plugin')
  }
  return ok('socket rights', formatMode(mode))
}

async function checkService(socket: string): Promise<Finding> {
  try {
    const { keyId, milliseconds } = await makeRoundTrip(socket)
    return ok('plugin', `encrypts and decrypts in ${milliseconds.toFixed(0)} ms, key id ${keyId}`)
  } catch (thrown) {
    return fail('plugin', wordsOf(thrown), 'see the following lines and the log of the plugin')
  }
}
