// Unpacks the packages of Debian's stable release that contain the libraries of Node.js, for any architecture and without
// root: with apt's own checks of signatures and digests, and the security updates.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ARCHITECTURES, type Architecture } from './libraries.ts'

const SUITE = 'bookworm'
/** The last two contain the licenses. */
const PACKAGES = ['libc6', 'libgcc-s1', 'libstdc++6', 'libatomic1', 'gcc-12-base', 'base-files']
const KEYS = '/usr/share/keyrings/debian-archive-keyring.gpg'

/**
 * Fills `root` with the libraries, and with a dpkg database that names their packages. DEBIAN_MIRROR and DEBIAN_SECURITY_MIRROR
 * replace the mirrors, for example by a date of snapshot.debian.org.
 */
export function unpackLibraries(root: string, work: string, arch: Architecture): void {
  if (!existsSync(KEYS))
    throw new Error(
      `${KEYS} is missing: apt-get install debian-archive-keyring (on Debian or Ubuntu)`,
    )
  const { debian } = ARCHITECTURES[arch]
  download(work, debian)
  const info = join(root, 'var/lib/dpkg/info')
  mkdirSync(info, { recursive: true })
  const controls: string[] = []
  for (const name of readdirSync(work)
    .filter((each) => each.endsWith('.deb'))
    .toSorted()) {
    const file = join(work, name)
    execFileSync('dpkg-deb', ['--extract', file, root])
    controls.push(execFileSync('dpkg-deb', ['--field', file], { encoding: 'utf8' }))
    writeFileSync(join(info, `${name.split('_', 1)[0] ?? ''}:${debian}.list`), listFiles(file))
  }
  writeFileSync(join(root, 'var/lib/dpkg/status'), controls.join('\n'))
}

function listFiles(file: string): string {
  const archive = execFileSync('dpkg-deb', ['--fsys-tarfile', file], { maxBuffer: 1 << 28 })
  const names = execFileSync('tar', ['-t'], { input: archive, encoding: 'utf8' })
  return names.replaceAll(/^\./gm, '')
}

/** Runs apt in separate folders, so that the packages of this machine do not matter. */
function download(work: string, architecture: string): void {
  for (const folder of ['state/lists/partial', 'cache/archives/partial'])
    mkdirSync(join(work, folder), { recursive: true })
  const mirror = process.env['DEBIAN_MIRROR'] ?? 'http://deb.debian.org/debian'
  const security = process.env['DEBIAN_SECURITY_MIRROR'] ?? 'http://deb.debian.org/debian-security'
  const sources = [
    `${mirror} ${SUITE}`,
    `${mirror} ${SUITE}-updates`,
    `${security} ${SUITE}-security`,
  ].map((source) => `deb [signed-by=${KEYS}] ${source} main\n`)
  writeFileSync(join(work, 'sources.list'), sources.join(''))
  writeFileSync(join(work, 'status'), '')
  const settings = {
    'Dir::State': join(work, 'state'),
    'Dir::State::status': join(work, 'status'),
    'Dir::Cache': join(work, 'cache'),
    'Dir::Etc::sourcelist': join(work, 'sources.list'),
    'Dir::Etc::sourceparts': '-',
    'APT::Architecture': architecture,
    'APT::Architectures': architecture,
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
    'Acquire::Retries': '3',
    'Acquire::Check-Valid-Until': process.env['DEBIAN_MIRROR'] === undefined ? 'yes' : 'no',
  }
  const options = Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])
  const run = (...args: string[]) =>
    execFileSync('apt-get', ['-qq', ...options, ...args], {
      cwd: work,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
  run('update')
  run('download', ...PACKAGES)
}
