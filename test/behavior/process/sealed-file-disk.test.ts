// kms.localKeys.sealedFile on a disk that is full, and on one that is read-only.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

import { eventually } from '../../real/host/eventually.ts'
import { MountNamespace, whyNoMounts } from '../../real/host/mount-namespace.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { PROGRAM } from '../../commands/program.ts'
import { runToEnd } from '../../real/program/run-to-end.ts'
import { KEY } from '../../real/vault/kms-vault.ts'
import { rotateKey } from '../../real/vault/transit-setup.ts'
import { Fixture, newSeed } from '../fixture.ts'

const fixture = await Fixture.open()

/** A file system of 64 KiB that only programs in the namespace see. */
async function startDisk() {
  const folder = tempFolder('disk')
  const namespace = await MountNamespace.start(tempFolder('mounts'))
  const mount = (...args: string[]) => {
    const line = namespace.inside('mount', args)
    execFileSync(line.command, line.args)
  }
  mount('-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder)
  const filler = namespace.view(join(folder, 'filler'))
  return {
    sealedFile: join(folder, 'local-keys'),
    isWritten: () => existsSync(namespace.view(join(folder, 'local-keys'))),
    fill: () => fillFile(filler),
    makeRoom: () => rmSync(filler),
    makeReadOnly: () => mount('-o', 'remount,ro', folder),
    /** The sealed file through a read-only mount, as a container may have it. */
    viewReadOnly: () => {
      const view = tempFolder('view')
      mount('--bind', '-o', 'ro', folder, view)
      return join(view, 'local-keys')
    },
    inside: namespace.inside.bind(namespace),
    stop: () => namespace.stop(),
  }
}

function fillFile(path: string): void {
  const file = openSync(path, 'w')
  try {
    for (;;) writeSync(file, Buffer.alloc(4_096, '.'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    closeSync(file)
  }
}

const skip = whyNoMounts()
void test(
  'a disk that is full or read-only is named, and the plugin continues to work',
  { skip },
  async (t) => {
    const disk = await startDisk()
    t.teardown(() => disk.stop())
    disk.fill()
    const { sealedFile } = disk
    const nodeKeyFile = join(tempFolder('node-key'), 'key')
    writeFileSync(nodeKeyFile, randomBytes(32), { mode: 0o400 })
    const launch = async (path = sealedFile) => {
      const localKeys = { enabled: true, sealedFile: path, nodeKeyFile }
      const kms = { refreshInterval: '1s', localKeys }
      const launched = await fixture.launch({ kms }, ({ command, args }) =>
        disk.inside(command, [...args]),
      )
      await launched.waitForSocket()
      await launched.waitForHealth('ok')
      return launched
    }
    const plugin = await launch()
    const fault = async () => {
      const { text } = await plugin.admin('/readyz?format=json')
      const { details } = JSON.parse(text) as { details: { sealedFileFault?: string } }
      return details.sealedFileFault
    }
    const works = async () => {
      const seed = newSeed()
      t.same(await plugin.client.decrypt(await plugin.client.encrypt(seed)), seed)
    }
    await eventually('the fault', async () =>
      (await fault())?.endsWith('cannot be written: the disk is full'),
    )
    t.match(await plugin.client.status(), { healthz: 'ok' })
    await works()
    t.notOk(disk.isWritten())
    disk.makeRoom()
    await eventually('the next try', () => disk.isWritten(), { timeoutMs: 60_000 })
    await eventually('the end of the fault', async () => (await fault()) === undefined)
    const second = await launch(disk.viewReadOnly())
    await eventually('another plugin to report who has the file', () =>
      second.logLines().some(({ msg }) => /is in use by another plugin/.test(String(msg))),
    )
    await second.stop()
    // The file system of a socket that a plugin serves cannot be remounted.
    await plugin.kill()
    disk.makeReadOnly()
    await plugin.restart()
    await plugin.waitForHealth('ok')
    await eventually('the file to be read', () =>
      plugin
        .logLines()
        .some(({ msg }) => /^\d+ local keys? restored from the sealed file; /.test(String(msg))),
    )
    await rotateKey(fixture.bao, KEY)
    await eventually('the fault', async () =>
      (await fault())?.endsWith('the file system is mounted read-only'),
    )
    t.match(await plugin.client.status(), { healthz: 'ok' })
    await works()
    const doctor = disk.inside(PROGRAM, ['doctor', '--config', plugin.configFile])
    const { stdout } = await runToEnd(doctor.command, doctor.args)
    t.match(stdout, /^fail .* sealed file: .* is mounted read-only, .* after a refusal; mount it/m)
  },
)

fixture.end()
