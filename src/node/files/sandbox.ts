import { realpathSync } from 'node:fs'

import { BridgeError } from '../../errors.ts'
import { systemCodeOf } from '../../files/system-error.ts'
import type { NodeFilesOptions } from './node-files.ts'

/** What the unit does not see: systemd.exec(5), "ProtectHome=" and "PrivateTmp=". */
const HIDDEN: readonly (readonly [folder: string, setting: string])[] = [
  ['/root', 'ProtectHome=yes'],
  ['/home', 'ProtectHome=yes'],
  ['/run/user', 'ProtectHome=yes'],
  ['/tmp', 'PrivateTmp=yes'],
  ['/var/tmp', 'PrivateTmp=yes'],
]

/** Throws USAGE_INVALID if the sandbox of the unit hides a file that it needs: it would fail at each start. */
export function requireVisibleFiles(options: NodeFilesOptions): void {
  const { program, configFile, files, sealedFile, socket } = options
  requireVisible(program, `the program ${program}`, 'install it in /opt or /usr/local')
  requireVisible(
    resolveLink(program),
    `${resolveLink(program)}, to which ${program} links,`,
    'install it in /opt or /usr/local',
  )
  requireVisible(configFile, `the configuration ${configFile}`, 'move it to /etc/transit-bridge')
  for (const file of [...files, sealedFile, socket]) {
    if (file !== undefined)
      requireVisible(file, `${file} in the configuration`, 'choose another folder')
  }
}

function requireVisible(file: string, what: string, advice: string): void {
  const [folder, setting] = HIDDEN.find(([each]) => file.startsWith(`${each}/`)) ?? []
  if (folder === undefined) return
  const message = `${what} is in ${folder}, which the systemd unit cannot read (${String(setting)}); ${advice}`
  throw new BridgeError('USAGE_INVALID', message)
}

/** The file behind symbolic links. The program may also be on another host only. */
function resolveLink(program: string): string {
  try {
    return realpathSync(program)
  } catch (error) {
    if (systemCodeOf(error) === undefined) throw error
    return program
  }
}
