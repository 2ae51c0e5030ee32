/**
 * Two releases of the same sources, from two folders, have the same bytes. It takes minutes, so it has a separate script:
 * npm run test:release.
 */
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { ROOT } from '../../commands/program.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'

const FACTS = { SOURCE_DATE_EPOCH: '1700000000', REVISION: 'b'.repeat(40) }

/** What differs between machines, and must not show in a release. */
type Machine = { umask: string; env: Readonly<Record<string, string>> }

function copySources(folder: string): void {
  mkdirSync(folder, { recursive: true })
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard']
  const files = execFileSync('git', list, { cwd: ROOT, encoding: 'utf8' }).split('\0')
  for (const name of files.filter(Boolean)) cpSync(join(ROOT, name), join(folder, name))
  execFileSync('cp', ['-al', join(ROOT, 'node_modules'), join(folder, 'node_modules')])
}

/** Builds in a copy of the sources, and returns the folder of the release. */
function releaseFrom(folder: string, { umask, env }: Machine): string {
  const target = join(folder, 'dist/release')
  const command = `umask ${umask}; npm run --silent release -- "$1"`
  // tap puts NODE_OPTIONS into every child, for its coverage.
  execFileSync('env', ['-u', 'NODE_OPTIONS', 'sh', '-c', command, 'sh', target], {
    cwd: folder,
    env: { ...process.env, ...FACTS, ...env },
    // The error of a build that fails shows what the compiler printed.
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  return target
}

void test('two builds in two folders are identical', (t) => {
  const parent = tempFolder('release')
  const usual = { umask: '022', env: { TZ: 'UTC', LC_ALL: 'C' } }
  const odd = { umask: '077', env: { TZ: 'Pacific/Kiritimati', LC_ALL: 'C.UTF-8' } }
  // Both copies before the first build, so that an edit in between makes no difference.
  const folders = [join(parent, 'a'), join(parent, 'another folder/é $x')] as const
  for (const folder of folders) copySources(folder)
  const first = releaseFrom(folders[0], usual)
  const second = releaseFrom(folders[1], odd)
  const sums = readFileSync(join(first, 'SHA256SUMS'), 'utf8')
  t.equal(
    sums.trim().split('\n').length,
    10,
    'image, and for each architecture tarball, deb, rpm and sbom; chart',
  )
  t.equal(readFileSync(join(second, 'SHA256SUMS'), 'utf8'), sums)
  execFileSync('sha256sum', ['--check', '--quiet', 'SHA256SUMS'], { cwd: second })
  t.end()
})
