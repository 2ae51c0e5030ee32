import { execFile, execFileSync } from 'node:child_process'
import { promisify } from 'node:util'
import { cpSync, existsSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cached } from './cache.ts'
import { tempFolder } from './temp-folder.ts'
import { pinnedNode } from '../../../scripts/distribution.ts'
import { ROOT } from '../../commands/program.ts'

const SUITE = 'bookworm'
const MIRROR = 'http://deb.debian.org/debian'
/** The npm that runs in the builder of the image; the one of node:26-bookworm-slim is of the same major version. */
const NPM = {
  version: '11.19.1',
  integrity:
    'sha512-ztsxKxt/kkIaAs+2i0GU6I+DRmUdrNasxTZKJe9TCdSjKxlhah/4r/hl5ygMD6XAg1qZ9c2TNomR4qgOydp10g==',
}
const SBIN = ':/usr/sbin:/sbin'
const env = { ...process.env, NODE_OPTIONS: undefined, PATH: `${process.env['PATH'] ?? ''}${SBIN}` }

/** The archive of a minimal Debian: what `debootstrap --variant=minbase` installs, and nothing else. Needs root. */
export async function minimalDebian(): Promise<string> {
  const folder = await cached(`debian-${SUITE}-minbase-${process.arch}`, async (unfinished) => {
    process.stderr.write(`debian ${SUITE}: debootstrap, a minute; it is kept for later runs\n`)
    const root = join(unfinished, 'root')
    const options = ['--variant=minbase', SUITE, root, MIRROR]
    await quietly('debootstrap', options)
    rmSync(join(root, 'var/cache/apt/archives'), { recursive: true })
    mkdirSync(join(root, 'var/cache/apt/archives/partial'), { recursive: true })
    pack(root, join(unfinished, 'debian.tar'))
    rmSync(root, { recursive: true })
  })
  return join(folder, 'debian.tar')
}

/** Unpacks the minimal Debian into a new folder, which is removed at the end of the test. */
export async function unpackDebian(): Promise<string> {
  const root = join(tempFolder('debian'), 'root')
  mkdirSync(root)
  execFileSync('tar', ['-xpf', await minimalDebian(), '-C', root, '--numeric-owner'])
  return root
}

/** The builder of the image without a registry: a minimal Debian with the pinned Node.js, and npm. */
export async function imageBuilder(): Promise<string> {
  const debian = await minimalDebian()
  const npm = await cached(`npm-${NPM.version}`, async (unfinished) => {
    await quietly('npm', ['pack', '--silent', `npm@${NPM.version}`], unfinished)
    const file = join(unfinished, `npm-${NPM.version}.tgz`)
    const digest = execFileSync('openssl', ['dgst', '-sha512', '-binary', file])
    if (`sha512-${digest.toString('base64')}` !== NPM.integrity)
      throw new Error(`npm ${NPM.version} is not the one that ${import.meta.filename} pins`)
  })
  const root = join(tempFolder('builder'), 'root')
  const modules = join(root, 'usr/local/lib/node_modules')
  mkdirSync(root)
  execFileSync('tar', ['-xpf', debian, '-C', root, '--numeric-owner'])
  mkdirSync(modules, { recursive: true })
  execFileSync('tar', [
    '-xzf',
    join(npm, `npm-${NPM.version}.tgz`),
    '-C',
    modules,
    '--no-same-owner',
  ])
  execFileSync('mv', [join(modules, 'package'), join(modules, 'npm')])
  cpSync(pinnedNode(), join(root, 'usr/local/bin/node'))
  symlinkSync('../lib/node_modules/npm/bin/npm-cli.js', join(root, 'usr/local/bin/npm'))
  // Node.js needs it, and a minimal Debian does not have it.
  const install = ['apt-get', 'install', '-qq', '--no-install-recommends', 'libatomic1']
  await quietly('chroot', [root, ...install])
  execFileSync('chmod', ['+x', join(modules, 'npm/bin/npm-cli.js')])
  configureNpm(root)
  return root
}

/**
 * npm in the builder trusts the certificates that this machine trusts, such as those of a proxy, and asks the registry only
 * for what the machine's cache does not have. Otherwise it repeats each refused connection for minutes.
 */
function configureNpm(root: string): void {
  const settings = ['prefer-offline=true']
  const bundle = '/etc/ssl/certs/ca-certificates.crt'
  if (existsSync(bundle)) {
    cpSync(bundle, join(root, bundle))
    settings.push(`cafile=${bundle}`)
  }
  mkdirSync(join(root, 'usr/local/etc'), { recursive: true })
  writeFileSync(join(root, 'usr/local/etc/npmrc'), `${settings.join('\n')}\n`)
}

/**
 * Runs a program and resolves with its output; the error of a failure contains it. The process goes on meanwhile: a lock that is
 * not touched for a minute would be taken over (folder-lock.ts).
 */
export async function quietly(
  command: string,
  args: readonly string[],
  cwd = ROOT,
): Promise<string> {
  try {
    const { stdout } = await promisify(execFile)(command, args, { cwd, env, maxBuffer: 1 << 26 })
    return stdout
  } catch (error) {
    const { message = '', stdout = '', stderr = '' } = error as Partial<Failure>
    throw new Error(`${command} ${args.join(' ')}: ${message}\n${stdout}\n${stderr}`, {
      cause: error,
    })
  }
}

interface Failure {
  readonly message: string
  readonly stdout: string
  readonly stderr: string
}

function pack(root: string, file: string): void {
  execFileSync('tar', ['-C', root, '--numeric-owner', '--one-file-system', '-cf', file, '.'])
}
