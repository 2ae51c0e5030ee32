// What image and tarball hold, without a Docker engine: built by the scripts that release them, and run.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { buildProgram, ROOT } from '../../commands/program.ts'
import { IMAGE_ENTRYPOINT } from '../../../scripts/distribution.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'

buildProgram()
const isRoot = process.getuid?.() === 0
const USERS = ['65532', '0']

/** tap puts NODE_OPTIONS into every child, which name files that the image does not have. */
const BARE = ['-i', `PATH=${process.env['PATH'] ?? ''}`]

/** Runs the program inside the root filesystem, as the image's entry point does. */
function runInside(root: string, user: string, ...args: string[]) {
  const inside = ['chroot', `--userspec=${user}:${user}`, root, ...IMAGE_ENTRYPOINT]
  const cache = 'NODE_COMPILE_CACHE=/app/dist/compile-cache'
  return spawnSync('env', [...BARE, cache, ...inside, ...args], { encoding: 'utf8' })
}

function runScript(name: string, folder: string): void {
  const script = join(ROOT, 'scripts', name)
  const stdio = ['ignore', 'ignore', 'inherit'] as const
  execFileSync('env', [...BARE, process.execPath, script, folder], { stdio: [...stdio] })
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    statSync(join(folder, name)).isFile(),
  )
}

const whyNotRoot = isRoot ? false : 'chroot needs root'

void test('the image runs as both of its users', { skip: whyNotRoot }, async (t) => {
  const root = join(tempFolder('image'), 'root')
  runScript('build-rootfs.ts', root)
  const before = filesBelow(root)
  for (const user of USERS) {
    const { status, stdout, stderr } = runInside(root, user, '--version')
    t.equal(status, 0, stderr)
    t.match(stdout, /^transit-bridge \d/)
    const cache = readdirSync(join(root, 'app/dist/compile-cache'))
    t.ok(
      cache.some((name) => name.endsWith(`-${user}`)),
      `compiled code for ${user} is there`,
    )
  }
  t.same(filesBelow(root), before, 'and a start adds nothing')
  t.same(filesBelow(join(root, 'tmp')), [], 'nor did the build leave anything')
  t.notOk(
    before.some((name) => /(?:^|\/)(?:sh|bash|busybox|npm|apt)$/.test(name)),
    'no shell',
  )
  const bill = JSON.parse(readFileSync(join(root, 'app/sbom.cdx.json'), 'utf8')) as {
    components: { name: string }[]
  }
  const names = bill.components.map(({ name }) => name)
  t.ok(names.includes('grpc-js') || names.includes('@grpc/grpc-js'))
  t.notOk(names.includes('tap'), 'of what runs alone')
})

void test('the tarball is complete: unpack it, and the program runs', (t) => {
  const folder = tempFolder('tarball')
  runScript('build-tarball.ts', folder)
  const [file = ''] = readdirSync(folder)
  t.match(file, /^transit-bridge-\d+\.\d+\.\d+-linux-(?:x64|arm64)\.tar\.gz$/)
  execFileSync('tar', ['-xzf', join(folder, file), '-C', folder])
  const home = join(folder, 'transit-bridge')
  const bare = { PATH: '/usr/bin:/bin' }
  const version = execFileSync(join(home, 'bin/transit-bridge'), ['--version'], { env: bare })
  t.match(version.toString(), /^transit-bridge \d/, 'with its own Node.js')
  const example = ['config', 'check', '--config', join(home, 'config.example.yaml')]
  t.match(execFileSync(join(home, 'bin/transit-bridge'), example, { env: bare }).toString(), /: ok/)
  const unit = readFileSync(join(home, 'transit-bridge-kms.service'), 'utf8')
  t.match(unit, /^ExecStart=\/opt\/transit-bridge\/bin\/transit-bridge kms --config/m)
  for (const name of ['INSTALL.md', 'LICENSE', 'sbom.cdx.json', 'vault-policies/kms.hcl'])
    t.ok(existsSync(join(home, name)), name)
  t.end()
})
