/**
 * The .rpm package with a real rpm, in the root folder of a minimal Debian: `npm run test:release` runs it. It shows digests,
 * requirements, scripts, installation, upgrade and removal. It cannot show that dnf on RHEL resolves the requirements: no such
 * distribution is available here, so rpm does not check them, and the test compares them with what the program needs.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { machine } from '../../../scripts/release/machine.ts'
import { buildPackages } from '../../../scripts/release/packages.ts'
import { buildProgram } from '../../commands/program.ts'
import { unpackDebian } from '../../real/host/debian.ts'
import { obtain } from '../../real/host/parts.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'

function run(command: string, ...args: string[]): { status: number | null; text: string } {
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', env })
  if (error !== undefined) throw error
  return { status, text: `${stdout}${stderr}` }
}

void test('the .rpm package', async (t) => {
  buildProgram()
  const folder = tempFolder('packages')
  mkdirSync(join(folder, 'work'))
  await buildPackages(folder, join(folder, 'work'), machine(), await obtain('nfpm'))
  const file = join(folder, readdirSync(folder).find((name) => name.endsWith('.rpm')) ?? '')
  const root = await unpackDebian()
  const program = '/usr/bin/transit-bridge'
  const rpm = (...args: string[]) => run('rpm', '--root', root, ...args)
  const inRoot = (...args: string[]) => run('chroot', root, ...args)

  await t.test('its digests are right, and it requires what Node.js needs', (t) => {
    t.match(run('rpm', '--checksig', file), { status: 0, text: /digests OK/ })
    const { text } = run('rpm', '-qp', '--requires', file)
    for (const need of ['libc.so.6(GLIBC_2.28)(64bit)', 'libstdc++.so.6(GLIBCXX_3.4.21)(64bit)'])
      t.ok(text.split('\n').includes(need), need)
    t.notMatch(text, /libatomic/, 'which RHEL does not install by default: the package brings it')
    t.match(run('rpm', '-qp', '--scripts', file).text, /postinstall.*preuninstall.*postuninstall/s)
    t.end()
  })

  await t.test('it installs, and the program starts', (t) => {
    t.match(rpm('--install', '--nodeps', file), { status: 0 })
    t.match(inRoot(program, '--version'), { status: 0, text: /^transit-bridge \d/ })
    t.match(rpm('--verify', '--nodeps', 'transit-bridge'), { status: 0 }, 'all files are as packed')
    t.equal(statSync(join(root, 'etc/transit-bridge')).mode & 0o777, 0o700)
    for (const unit of ['transit-bridge-kms.service', 'transit-bridge-token.timer'])
      t.ok(existsSync(join(root, 'usr/lib/systemd/system', unit)), unit)
    t.end()
  })

  await t.test('an upgrade keeps the configuration, and so does a removal', (t) => {
    const config = join(root, 'etc/transit-bridge/config.yaml')
    writeFileSync(config, '# mine\n')
    t.match(rpm('--upgrade', '--nodeps', '--replacepkgs', file), { status: 0 })
    t.match(inRoot(program, '--version'), { status: 0 })
    t.ok(existsSync(config))
    t.match(rpm('--erase', 'transit-bridge'), { status: 0 })
    t.notOk(existsSync(join(root, program)))
    t.notOk(existsSync(join(root, 'usr/lib/transit-bridge')), 'nothing is left')
    t.ok(existsSync(config))
    t.end()
  })
})
