// A copy of the installed program that tries, on request, what its rights should not allow.
import { appendFileSync, copyFileSync, mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

import { ROOT } from '../../commands/program.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import type { Program } from '../../real/program/program.ts'

/** What an attacker would try who runs code in the process; each entry is JavaScript. */
const ATTEMPTS: Readonly<Record<string, string>> = {
  spawn: "const { error } = r('child_process').spawnSync('/bin/true'); if (error) throw error",
  'an asynchronous spawn': "r('child_process').spawn('/bin/true')",
  fork: "r('child_process').fork('/x.js')",
  execve: "process.execve('/bin/true', ['true'], {})",
  'a worker thread': "new (r('worker_threads').Worker)('1', { eval: true })",
  'a native add-on': "process.dlopen({ exports: {} }, '/x.node')",
  WASI: "new (r('wasi').WASI)({ version: 'preview1' })",
  inspector: "r('inspector').open(0)",
  'reading /etc/passwd': "r('fs').readFileSync('/etc/passwd')",
  'reading its environment': "r('fs').readFileSync('/proc/self/environ')",
  'reading its memory': "r('fs').openSync('/proc/self/mem', 'r')",
  'a way around through procfs': "r('fs').readFileSync('/proc/self/root/etc/passwd')",
  'a way around through ..': "r('fs').readFileSync(FOLDER + '/x/../../../etc/passwd')",
  'listing /': "r('fs').readdirSync('/')",
  'reading a file beside the token': "r('fs').readFileSync(OTHER)",
  'writing the token': "r('fs').writeFileSync(TOKEN, 'x')",
  'writing elsewhere': "r('fs').writeFileSync('/tmp/transit-bridge-test', 'x')",
  'writing the program': "r('fs').appendFileSync(__filename, '//')",
  'writing compiled code': "r('fs').writeFileSync(__dirname + '/compile-cache/x', '')",
  'writing the configuration': "r('fs').writeFileSync(CONFIG, '')",
  'a symbolic link': "r('fs').symlinkSync('/etc/passwd', FOLDER + '/link')",
  'a hard link': "r('fs').linkSync('/etc/passwd', FOLDER + '/link')",
  'copying a file': "r('fs').cpSync('/etc/passwd', FOLDER + '/copy')",
  'a heap snapshot': "r('v8').writeHeapSnapshot('/tmp/transit-bridge-heap')",
  'a report': "process.report.writeReport('/tmp/transit-bridge-report')",
  SQLite: "if (r('sqlite') === undefined) throw { code: 'ERR_ACCESS_DENIED' }",
}
/** What must work, so that the others do not fail for another reason. */
const NEEDS: Readonly<Record<string, string>> = {
  'reading the token': "r('fs').readFileSync(TOKEN)",
  'writing in the folder of the socket': "r('fs').writeFileSync(FOLDER + '/x', 'x')",
  'a socket': "r('net').createServer().listen(FOLDER + '/y' + performance.now()).unref()",
  'a connection': "r('net').connect(1, '127.0.0.1').on('error', () => undefined)",
}

/**
 * A copy of the installed program that also makes these attempts, each time that it receives SIGWINCH. Each prints a line with
 * "denied", "done" or another error.
 */
export function installProbe(values: Readonly<Record<string, string>>): string {
  const root = tempFolder('installed')
  for (const name of ['bin', 'dist']) mkdirSync(join(root, name))
  copyFileSync(join(ROOT, 'bin/transit-bridge'), join(root, 'bin/transit-bridge'))
  for (const name of readdirSync(join(ROOT, 'dist')).filter((file) => file.endsWith('.cjs')))
    copyFileSync(join(ROOT, 'dist', name), join(root, 'dist', name))
  const attempts = Object.entries({ ...ATTEMPTS, ...NEEDS })
    .map(([name, code]) => `attempt(${JSON.stringify(name)}, () => { ${code} })`)
    .join('\n')
  const constants = Object.entries(values)
    .map(([name, value]) => `const ${name} = ${JSON.stringify(value)}`)
    .join('\n')
  const code = `
    process.on('SIGWINCH', () => {
      const r = (name) => process.getBuiltinModule('node:' + name)
      const say = (name, result) => process.stdout.write('probe ' + name + ': ' + result + '\\n')
      const attempt = (name, run) => {
        try { run(); say(name, 'done') }
        catch ({ code }) {
          say(name, /ACCESS_DENIED|DLOPEN_DISABLED|ERR_INVALID_STATE/.test(code) ? 'denied' : code)
        }
      }
      ${constants}
      ${attempts}
      say('end', 'done')
    })`
  appendFileSync(join(root, 'dist/transit-bridge.cjs'), code)
  return join(root, 'bin/transit-bridge')
}

export async function probe(program: Program): Promise<Record<string, string>> {
  const before = program.output().length
  program.signal('SIGWINCH')
  const said = () => program.output().slice(before)
  await program.waitUntil('the attempts', () => said().includes('probe end: done'))
  const lines = said().matchAll(/^probe (.+): (.+)$/gm)
  return Object.fromEntries([...lines].map(([, name = '', result = '']) => [name, result]))
}

export const EXPECTED = Object.fromEntries([
  ...Object.keys(ATTEMPTS).map((name) => [name, 'denied']),
  ...Object.keys(NEEDS).map((name) => [name, 'done']),
  ['end', 'done'],
])
