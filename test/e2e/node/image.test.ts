// What image and tarball contain: built by the Dockerfile and by the script that releases the tarball, and run.
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { buildProgram, ROOT } from '../../commands/program.ts'
import { IMAGE_ENTRYPOINT, VERSION } from '../../../scripts/distribution.ts'
import { BUILD_ARGUMENTS, buildImageArchive } from '../../real/cluster/node-image.ts'
import { unpackDebian } from '../../real/host/debian.ts'
import { whyNoNode } from '../../real/cluster/kube-node.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'

buildProgram()
const USERS = ['65532', '0']
const LICENSES = ['node.txt', 'debian/libatomic1.txt', 'debian/SOURCES'].map(
  (name) => `licenses/${name}`,
)

/** tap puts NODE_OPTIONS into every child, which name files that the image does not have. */
const BARE = ['-i', `PATH=${process.env['PATH'] ?? ''}`]

/** Runs the program inside the root filesystem, as the image's entry point does. */
function runInside(root: string, user: string, ...args: string[]) {
  const inside = ['chroot', `--userspec=${user}:${user}`, root, ...IMAGE_ENTRYPOINT]
  return spawnSync('env', [...BARE, ...inside, ...args], { encoding: 'utf8' })
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

const whyNotRoot = whyNoNode()

interface Configuration {
  readonly config: Record<'Entrypoint' | 'Env' | 'User' | 'Labels', unknown>
}

/** The image of the Dockerfile: its only layer, unpacked, and its configuration. */
async function unpackImage(): Promise<{ root: string; configuration: Configuration }> {
  const folder = tempFolder('image')
  const root = join(folder, 'root')
  mkdirSync(root)
  execFileSync('tar', ['-xf', await buildImageArchive(), '-C', folder])
  const read = (name: string): unknown => JSON.parse(readFileSync(join(folder, name), 'utf8'))
  const [{ Config, Layers }] = read('manifest.json') as [{ Config: string; Layers: [string] }]
  execFileSync('tar', ['-xpf', join(folder, Layers[0]), '-C', root, '--numeric-owner'])
  return { root, configuration: read(Config) as Configuration }
}

void test(
  'the image of the Dockerfile runs as both of its users',
  { skip: whyNotRoot },
  async (t) => {
    const { root, configuration } = await unpackImage()
    t.match(configuration.config, {
      Entrypoint: IMAGE_ENTRYPOINT,
      Env: [
        /^PATH=/,
        'MALLOC_ARENA_MAX=1',
        /^MALLOC_MMAP_THRESHOLD_=\d+$/,
        /^MALLOC_MMAP_MAX_=\d+$/,
      ],
      User: '65532:65532',
      Labels: {
        'org.opencontainers.image.version': VERSION,
        'org.opencontainers.image.source': BUILD_ARGUMENTS.SOURCE,
        'org.opencontainers.image.revision': BUILD_ARGUMENTS.REVISION,
      },
    })
    const before = filesBelow(root)
    for (const user of USERS) {
      const { status, stdout, stderr } = runInside(root, user, '--version')
      t.equal(status, 0, stderr)
      t.match(stdout, /^transit-bridge \d/)
    }
    t.same(filesBelow(root), before, 'a start writes nothing')
    t.notOk(
      before.some((name) => /(?:^|\/)(?:sh|bash|busybox|npm|apt)$/.test(name)),
      'no shell',
    )
    const bill = JSON.parse(readFileSync(join(root, 'app/sbom.cdx.json'), 'utf8')) as {
      components: { name: string; version: string }[]
    }
    const names = bill.components.map(({ name }) => name)
    for (const name of ['@grpc/grpc-js', 'node', 'libc6', 'libatomic1', 'libstdc++6'])
      t.ok(names.includes(name), `${name} is shipped`)
    for (const name of ['axios', 'tap', 'esbuild'])
      t.notOk(names.includes(name), `${name} is installed for the build, and not shipped`)
  },
)

void test('the tarball runs on a minimal Debian', { skip: whyNotRoot }, async (t) => {
  const folder = tempFolder('tarball')
  runScript('build-tarball.ts', folder)
  const [file = ''] = readdirSync(folder)
  t.match(file, /^transit-bridge-\d+\.\d+\.\d+-linux-(?:x64|arm64)\.tar\.gz$/)
  const host = await unpackDebian()
  execFileSync('tar', ['-xzf', join(folder, file), '-C', join(host, 'opt')])
  const home = join(host, 'opt/transit-bridge')
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' }
  const runOnHost = (...args: string[]) =>
    spawnSync('chroot', [host, ...args], { encoding: 'utf8', env })
  const node = runOnHost('/opt/transit-bridge/node_modules/.bin/node', '--version')
  t.match(node, { status: 127, stderr: /libatomic/ }, 'the host lacks a library of Node.js')
  const program = '/opt/transit-bridge/bin/transit-bridge'
  t.match(runOnHost(program, '--version'), { status: 0, stdout: /^transit-bridge \d/ })
  const example = ['config', 'check', '--config', '/opt/transit-bridge/config.example.yaml']
  t.match(runOnHost(program, ...example), { status: 0, stdout: /: ok/ })
  const unit = readFileSync(join(home, 'transit-bridge-kms.service'), 'utf8')
  t.match(unit, /^ExecStart=\/opt\/transit-bridge\/bin\/transit-bridge kms --config/m)
  const files = ['INSTALL.md', 'LICENSE', 'sbom.cdx.json', 'vault-policies/kms.hcl']
  for (const name of [...files, 'man/man1/transit-bridge-kms.1', ...LICENSES])
    t.ok(existsSync(join(home, name)), name)
  t.same(
    readdirSync(join(home, 'lib')),
    ['libatomic.so.1'],
    'nothing else replaces the libraries of the host',
  )
})
