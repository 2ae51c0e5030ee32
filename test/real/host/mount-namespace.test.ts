import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { MountNamespace, whyNoMounts } from './mount-namespace.ts'
import { Program } from '../program/program.ts'
import { tempFolder } from './temp-folder.ts'

const skip = whyNoMounts()

void test('what is mounted inside is visible only in a view', { skip }, async (t) => {
  const folder = tempFolder('mounts')
  const namespace = await MountNamespace.start(folder)
  t.teardown(() => namespace.stop())
  const mount = Program.start({
    name: 'mount',
    ...namespace.inside('mount', ['-t', 'tmpfs', 'tmpfs', folder]),
    folder,
  })
  await mount.finished()
  t.match(
    namespace.mounts().findLast(({ path }) => path === folder),
    { type: 'tmpfs' },
  )
  t.ok(existsSync(join(folder, 'mount.log')))
  t.notOk(existsSync(join(namespace.view(folder), 'mount.log')))
  t.notMatch(readFileSync('/proc/self/mountinfo', 'utf8'), folder)
})

void test('it ends with its process, no matter how that ends', { skip }, async (t) => {
  const folder = tempFolder('mounts')
  const script = `
    import { MountNamespace } from '${join(import.meta.dirname, 'mount-namespace.ts')}'
    await MountNamespace.start('${folder}')
    console.log('ready')
    setInterval(() => undefined, 1_000)
  `
  const args = ['--input-type=module', '--eval', script]
  const child = Program.start({ name: 'child', command: process.execPath, args, folder })
  const holders = () => readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8')
  // A process that is killed while it starts a program may leave that program behind.
  await child.waitUntil('its namespace', () => child.output() === 'ready\n')
  const holder = holders().split(' ').find(isHolder) ?? ''
  t.not(holder, '')
  await child.kill()
  const witness = Program.start({ name: 'witness', command: 'sleep', args: ['infinity'], folder })
  t.teardown(() => witness.kill())
  await witness.waitUntil('the end of the namespace', () => !isHolder(holder))
  t.pass('it is gone')
})

function isHolder(pid: string): boolean {
  try {
    return pid !== '' && readFileSync(`/proc/${pid}/comm`, 'utf8') === 'sleep\n'
  } catch {
    return false
  }
}
