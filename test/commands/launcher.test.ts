import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join } from 'node:path'
import { test, type Test } from 'tap'

import { version } from '../../src/version.ts'
import { eventually } from '../real/host/eventually.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { Program } from '../real/program/program.ts'
import { PROGRAM_FILES } from '../../scripts/distribution.ts'
import { buildProgram, PROGRAM, ROOT, run } from './program.ts'

buildProgram()

const SYSTEM_PATH = '/usr/bin:/bin'
const OK = { code: 0, stdout: `transit-bridge ${version}\n`, stderr: '' }

/** An installed program without its own Node.js, and folders with stand-ins for one. */
function install(t: Test, built: boolean): string {
  const stub = (answer: string) => ({ node: `#!/bin/sh\necho "${answer}"\n` })
  const folder = t.testdir({ bin: {}, dist: {}, old: stub('v22.9.0'), none: {}, new: {} })
  copyFileSync(PROGRAM, join(folder, 'bin/transit-bridge'))
  for (const name of built ? PROGRAM_FILES : [])
    copyFileSync(join(ROOT, 'dist', name), join(folder, 'dist', name))
  symlinkSync(process.execPath, join(folder, 'new/node'))
  chmodSync(join(folder, 'old/node'), 0o755)
  return folder
}

function launch(folder: string, path: string) {
  return run(['--version'], {
    program: join(folder, 'bin/transit-bridge'),
    env: { PATH: `${join(folder, path)}:${SYSTEM_PATH}` },
  })
}

void test('the program is found through links, absolute and relative, from any folder', async (t) => {
  const folder = t.testdir({ a: {}, b: {} })
  symlinkSync(PROGRAM, join(folder, 'a/absolute'))
  symlinkSync('../a/absolute', join(folder, 'b/relative'))
  t.strictSame(await run(['--version'], { program: join(folder, 'b/relative'), cwd: '/' }), OK)
})

void test('a shell that is given the name of the launcher alone runs it', async (t) => {
  const options = { program: '/bin/sh', cwd: join(ROOT, 'bin') }
  t.strictSame(await run(['transit-bridge', '--version'], options), OK)
})

void test('a path with spaces works', async (t) => {
  const folder = join(install(t, true), 'with space')
  mkdirSync(folder)
  symlinkSync(PROGRAM, join(folder, 'transit bridge'))
  t.strictSame(await run(['--version'], { program: join(folder, 'transit bridge') }), OK)
})

void test('without its own Node.js, the program uses the one on PATH if it is new enough', async (t) => {
  const folder = install(t, true)
  t.strictSame(await launch(folder, 'new'), OK)
  t.strictSame(await launch(folder, 'old'), {
    code: 1,
    stdout: '',
    stderr: `transit-bridge: needs Node.js 24 or newer; ${folder}/old/node is v22.9.0\n`,
  })
})

void test('a program that is not built fails with a message', async (t) => {
  const folder = install(t, false)
  t.strictSame(await launch(folder, 'new'), {
    code: 1,
    stdout: '',
    stderr: `transit-bridge: is not built; run npm run build in ${folder}\n`,
  })
})

void test('NODE_OPTIONS from outside neither breaks the program nor gets into it', async (t) => {
  for (const options of ['--no-such-option', '--require /nowhere.cjs', '--inspect-brk']) {
    t.strictSame(await run(['--version'], { env: { NODE_OPTIONS: options } }), OK, options)
  }
})

void test(
  'the process that was started is Node.js itself, so a signal reaches it',
  { skip: process.platform !== 'linux' },
  async (t) => {
    // A configuration that never ends keeps the process where it is.
    const child = spawn(PROGRAM, ['config', 'check', '--config', '/dev/stdin'], {
      stdio: ['pipe', 'ignore', 'inherit'],
    })
    t.teardown(() => child.kill('SIGKILL'))
    const executable = () => readlinkSync(`/proc/${child.pid}/exe`)
    await eventually('node to be running', () => executable().endsWith('/node'))
    child.kill('SIGTERM')
    t.strictSame(await once(child, 'exit'), [null, 'SIGTERM'])
  },
)

void test('nothing is written to a folder that others can write to', async (t) => {
  const folder = install(t, true)
  mkdirSync(join(folder, 'tmp'))
  const env = { PATH: `${dirname(process.execPath)}:${SYSTEM_PATH}`, TMPDIR: join(folder, 'tmp') }
  t.strictSame(await run(['--version'], { program: join(folder, 'bin/transit-bridge'), env }), OK)
  t.strictSame(readdirSync(join(folder, 'tmp')), [])
  t.strictSame(readdirSync(join(folder, 'dist')), [...PROGRAM_FILES, 'compile-cache'].toSorted())
})

void test('a folder of compiled code is writable by its owner alone, and not used if others can write to it', async (t) => {
  const folder = install(t, true)
  const program = join(folder, 'bin/transit-bridge')
  const env = { PATH: `${join(folder, 'new')}:${SYSTEM_PATH}` }
  const careless = ['-c', 'umask 0; exec "$0" --version', program]
  t.strictSame(await run(careless, { program: '/bin/sh', env }), OK)
  const cache = join(folder, 'dist/compile-cache')
  const [own = ''] = readdirSync(cache)
  const [file = ''] = readdirSync(join(cache, own))
  const code = join(cache, own, file)
  for (const path of [cache, join(cache, own)]) {
    t.equal(statSync(path).mode & 0o022, 0, path)
    chmodSync(path, 0o777)
    // Node.js replaces code that it cannot use.
    writeFileSync(code, 'of somebody else')
    const { stdout, stderr } = await run(['--version'], { program, env })
    t.equal(stdout, OK.stdout)
    t.match(stderr, `other users can write to ${cache}, so this start does not use it`)
    const served = await run(['kms', '--config', '/dev/null'], { program, env })
    t.match(served, { code: 2, stderr: 'vault: is missing' }, 'a server starts, too')
    t.equal(readFileSync(code, 'utf8'), 'of somebody else')
    chmodSync(path, 0o755)
    t.strictSame(await run(['--version'], { program, env }), OK)
    t.not(readFileSync(code, 'utf8'), 'of somebody else')
  }
})

void test('a folder whose name has special characters works; a line break is refused', async (t) => {
  const cwd = tempFolder('launcher')
  writeFileSync(join(cwd, 'config.yaml'), `# ${cwd}/token\nunknown: 1\n`)
  const env = { PATH: `${dirname(process.execPath)}:${SYSTEM_PATH}` }
  for (const name of ['-v', `$(false) *?[a]'"\\:`, 'a\nb']) {
    const folder = join(cwd, name)
    for (const part of ['bin', 'dist']) mkdirSync(join(folder, part), { recursive: true })
    copyFileSync(PROGRAM, join(folder, 'bin/transit-bridge'))
    for (const file of PROGRAM_FILES)
      copyFileSync(join(ROOT, 'dist', file), join(folder, 'dist', file))
    const program = join(folder, 'bin/transit-bridge')
    const { code, stderr } = await run(['kms', '--config=config.yaml'], { program, cwd, env })
    const refused = name.includes('\n')
    t.equal(code, refused ? 1 : 2, name)
    t.match(
      stderr,
      refused ? 'a folder whose name contains a line break' : 'unknown: is not a known',
    )
  }
})

void test('no name or content of a configuration prevents the start, and neither does a PATH without cat', async (t) => {
  const cwd = tempFolder('launcher')
  const comments = {
    'many paths': Array.from({ length: 20_000 }, (_, index) => `# socket: /a/${index}\n`).join(''),
    'a long path': `# /a/${'x'.repeat(200_000)}\n`,
    '-v': '',
    '$(false) *?[a]\n\'"': '',
  }
  for (const [name, comment] of Object.entries(comments)) {
    writeFileSync(join(cwd, name), `${comment}unknown: 1\n`)
    for (const env of [{}, { PATH: dirname(process.execPath) }]) {
      const { code, stderr } = await run(['kms', `--config=${name}`], { cwd, env })
      t.equal(code, 2, name)
      t.match(stderr, 'unknown: is not a known key', name)
      t.notMatch(stderr, 'cat', name)
    }
  }
})

void test('a server keeps its compiled code beside the program, for its next start', async (t) => {
  const folder = install(t, true)
  const work = tempFolder('launcher')
  const config = join(work, 'config.yaml')
  writeFileSync(
    config,
    JSON.stringify({
      vault: {
        address: 'http://127.0.0.1:1',
        auth: { method: 'token', tokenFile: join(work, 'token') },
      },
      transit: { key: 'k8s-etcd' },
      kms: { socket: join(work, 'kms.sock'), clusterId: 'test-cluster' },
      admin: { listen: 'none' },
    }),
  )
  const server = Program.start({
    name: 'kms',
    command: join(folder, 'bin/transit-bridge'),
    args: ['kms', '--config', config],
    folder: work,
    env: { PATH: `${join(folder, 'new')}:${SYSTEM_PATH}` },
  })
  t.teardown(() => server.terminate())
  await server.waitUntil('its compiled code', () => {
    const files = readdirSync(join(folder, 'dist'), { recursive: true, encoding: 'utf8' })
    const saved = files.find((name) => name.endsWith('/kms.cjs.cache'))
    return saved !== undefined && statSync(join(folder, 'dist', saved)).size > 100_000
  })
})
