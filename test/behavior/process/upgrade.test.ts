// The files of the program are replaced or removed while it runs, as an upgrade of a package does.
import { copyFileSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { PROGRAM_FILES } from '../../../scripts/distribution.ts'
import { buildProgram, PROGRAM, ROOT } from '../../commands/program.ts'
import { eventually } from '../../real/host/eventually.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import type { CommandLine } from '../../real/program/served-program.ts'
import { Fixture, linesSaying, newSeed } from '../fixture.ts'

buildProgram()
const fixture = await Fixture.open()

/** An installed program with its own Node.js. */
function install(): string {
  const root = tempFolder('installed')
  for (const name of ['bin', 'dist', 'node_modules/.bin'])
    mkdirSync(join(root, name), { recursive: true })
  copyFileSync(PROGRAM, join(root, 'bin/transit-bridge'))
  copyFileSync(process.execPath, join(root, 'node_modules/.bin/node'))
  for (const name of PROGRAM_FILES) copyFileSync(join(ROOT, 'dist', name), join(root, 'dist', name))
  return root
}

const remove = (root: string) => rmSync(root, { recursive: true })
/** Any code of the new version that the old process loaded would end it. */
function replace(root: string): void {
  for (const name of readdirSync(join(root, 'dist')).filter((file) => file.endsWith('.cjs'))) {
    rmSync(join(root, 'dist', name))
    writeFileSync(join(root, 'dist', name), 'process.abort()')
  }
}

const withLauncher = (root: string, args: string[]) => ({
  command: join(root, 'bin/transit-bridge'),
  args,
})
/** Without the permission model, the process ends with execve(2) of Node.js. */
const unrestricted = (root: string, args: string[]) => ({
  command: join(root, 'node_modules/.bin/node'),
  args: [join(root, 'dist/transit-bridge.cjs'), ...args],
})

for (const { what, change, start } of [
  { what: 'replaced', change: replace, start: withLauncher },
  { what: 'removed', change: remove, start: withLauncher },
  { what: 'removed, without the permission model', change: remove, start: unrestricted },
]) {
  void test(`a plugin whose files are ${what} does all its work and stops with 0`, async (t) => {
    const root = install()
    const plugin = await fixture.launch(
      { kms: { refreshInterval: '1s', localKeys: { enabled: true } } },
      ({ args }: CommandLine) => start(root, args),
    )
    await plugin.waitForSocket()
    change(root)
    await plugin.waitForHealth('ok')
    // The first request of the admin server loads most of its code.
    t.match(await plugin.admin('/readyz'), { status: 200 })
    t.match(await plugin.admin('/metrics'), { status: 200, text: /transit_bridge_key_version/ })
    t.ok(await plugin.client.decrypt(await plugin.client.encrypt(newSeed())))
    await fixture.revokeTokens()
    const logins = () => linesSaying(plugin, 'logged in').length
    await eventually('a second login', () => logins() > 1)
    t.equal(await plugin.stop(), 0)
  })
}

fixture.end()
