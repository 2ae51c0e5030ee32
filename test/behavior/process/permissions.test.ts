// The right to files, processes, threads and native code, in the running program as the launcher starts it.
import { execFileSync } from 'node:child_process'
import {
  appendFileSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'

import { restrictFiles } from '../../../src/commands/cli/process/file-rights.ts'
import { findFileNeeds } from '../../../src/config/file-needs.ts'
import { parseConfig } from '../../../src/config/load.ts'
import { ALLOW_ALL } from '../../csi/fixture.ts'
import { eventually } from '../../real/host/eventually.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import type { Program } from '../../real/program/program.ts'
import { Provider } from '../../real/program/provider.ts'
import type { CommandLine } from '../../real/program/served-program.ts'
import { revokeTokens } from '../../real/vault/revoke-tokens.ts'
import { VALID } from '../../config/valid-config.ts'
import { buildProgram, PROGRAM, ROOT } from '../../commands/program.ts'
import { Fixture, linesSaying, newSeed } from '../fixture.ts'

buildProgram()
const fixture = await Fixture.open()
const { bao, vault } = fixture

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
function installProbe(values: Readonly<Record<string, string>>): string {
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

async function probe(program: Program): Promise<Record<string, string>> {
  const before = program.output().length
  program.signal('SIGWINCH')
  const said = () => program.output().slice(before)
  await program.waitUntil('the attempts', () => said().includes('probe end: done'))
  const lines = said().matchAll(/^probe (.+): (.+)$/gm)
  return Object.fromEntries([...lines].map(([, name = '', result = '']) => [name, result]))
}

const EXPECTED = Object.fromEntries([
  ...Object.keys(ATTEMPTS).map((name) => [name, 'denied']),
  ...Object.keys(NEEDS).map((name) => [name, 'done']),
  ['end', 'done'],
])

type StaticPod = {
  spec: { containers: { env?: { name: string; value: string }[] }[] }
}

/** A token as the kubelet projects it: token -> ..data/token, ..data -> a folder that is replaced. */
function projectToken(folder: string, name: string, token: string): void {
  mkdirSync(join(folder, name))
  writeFileSync(join(folder, name, 'token'), token)
  symlinkSync(name, join(folder, '..data_tmp'))
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
}

void test('kms can use the files of its configuration and nothing else, and still does all its work', async (t) => {
  const folder = tempFolder('rights')
  const tokens = tempFolder('projected')
  projectToken(tokens, '..1', readFileSync(vault.tokenFile, 'utf8'))
  symlinkSync('..data/token', join(tokens, 'token'))
  writeFileSync(join(tokens, 'other'), 'other')
  const socket = join(folder, 'made', 'kms.sock')
  const values = {
    FOLDER: dirname(socket),
    TOKEN: join(tokens, 'token'),
    OTHER: join(tokens, 'other'),
  }
  let command = ''
  const plugin = await fixture.launch(
    {
      kms: {
        socket,
        refreshInterval: '1s',
        localKeys: { enabled: true },
      },
      auth: { tokenFile: join(tokens, 'token') },
    },
    ({ args }: CommandLine) => {
      command ||= installProbe({ ...values, CONFIG: args.at(-1) ?? '' })
      return { command, args }
    },
  )
  await plugin.waitForSocket()
  await plugin.waitForHealth('ok')
  t.equal(linesSaying(plugin, 'file access is restricted').length, 1)
  await plugin.program.waitUntil('the compiled code to be saved', async () => {
    return (await probe(plugin.program))['writing compiled code'] === 'denied'
  })
  t.strictSame(await probe(plugin.program), EXPECTED)
  t.ok(existsSync(join(dirname(dirname(command)), 'dist/compile-cache')))

  // The kubelet replaces the token, and the session ends.
  await vault.writeToken()
  projectToken(tokens, '..2', readFileSync(vault.tokenFile, 'utf8'))
  rmSync(join(tokens, '..1'), { recursive: true })
  const logins = linesSaying(plugin, 'logged in').length
  await revokeTokens(bao)
  await eventually(
    'a login with the new token',
    () => linesSaying(plugin, 'logged in').length > logins,
  )
  await plugin.waitForHealth('ok')
  // tmpfiles removes the socket with its folder.
  rmSync(dirname(socket), { recursive: true })
  await plugin.program.waitForLine(/created again|again/)
  await plugin.waitForSocket()
  const wrapped = await plugin.client.encrypt(newSeed())
  t.ok(await plugin.client.decrypt(wrapped))
  t.match((await plugin.admin('/metrics')).text, /process_open_fds \d/)

  // Another configuration grants nothing before a restart.
  const text = readFileSync(plugin.configFile, 'utf8')
  writeFileSync(plugin.configFile, text.replaceAll(values.TOKEN, values.OTHER))
  t.strictSame(await probe(plugin.program), EXPECTED)
  await plugin.kill()
  await plugin.restart()
  await eventually(
    'its rights',
    () => linesSaying(plugin, 'file access is restricted').length === 2,
  )
  const restarted = await probe(plugin.program)
  t.match(restarted, { 'reading a file beside the token': 'done', 'reading the token': 'denied' })
})

void test('csi can use the files of its configuration and nothing else; csi.runtime runs without the model', async (t) => {
  const folder = tempFolder('providers')
  const caFile = join(tempFolder('ca'), 'ca.pem')
  writeFileSync(caFile, 'none')
  const values = { FOLDER: folder, TOKEN: caFile, OTHER: join(dirname(caFile), 'other') }
  let command = ''
  const wrap = ({ args }: CommandLine) => {
    command ||= installProbe({ ...values, CONFIG: args.at(-1) ?? '' })
    return { command, args }
  }
  const csi = { audience: 'vault', rules: [{ ...ALLOW_ALL }] }
  const provider = await Provider.start(
    folder,
    { vault: { address: bao.address, caFile }, csi },
    undefined,
    wrap,
  )
  t.teardown(() => provider.stop())
  await provider.program.waitUntil('the compiled code to be saved', async () => {
    return (await probe(provider.program))['writing compiled code'] === 'denied'
  })
  t.strictSame(await probe(provider.program), EXPECTED)
  const state = tempFolder('runtime')
  provider.configure({
    vault: { address: bao.address, caFile },
    csi: {
      ...csi,
      runtime: {
        enabled: true,
        socket: join(state, 'csi.sock'),
        registrationSocket: join(state, 'reg.sock'),
        stateFolder: join(state, 'state'),
      },
    },
  })
  await provider.stop()
  await provider.restart()
  await eventually('the reason', () =>
    provider.logLines().some(({ reason }) => String(reason).startsWith('csi.runtime needs')),
  )
})

void test('a file that the launcher does not find keeps the right to all files, and the log names it', async (t) => {
  const folder = join(tempFolder('rights'), 'a folder')
  mkdirSync(folder)
  const tokenFile = join(folder, 'token')
  copyFileSync(vault.tokenFile, tokenFile)
  const plugin = await fixture.startHealthy({ auth: { tokenFile } })
  t.match(linesSaying(plugin, 'file access is not restricted'), [
    { reason: `${tokenFile} is not among the granted files` },
  ])
})

void test('folders around the needed files, which a comment mentions, do not take the right to the files', async (t) => {
  const folder = tempFolder('rights')
  const socket = join(folder, 'one', 'kms.sock')
  const plugin = await fixture.startHealthy({ kms: { socket, refreshInterval: '1s' } })
  const tokens = dirname(vault.tokenFile)
  appendFileSync(
    plugin.configFile,
    [tokens, `${tokens}/`, `/${vault.tokenFile}`, `socket: ${folder}/kms.sock`]
      .map((words) => `\n# see ${words} of the host\n`)
      .join(''),
  )
  await plugin.kill()
  await plugin.restart()
  await plugin.waitForHealth('ok')
  t.equal(linesSaying(plugin, 'file access is restricted').length, 2)

  const logins = linesSaying(plugin, 'logged in').length
  await vault.writeToken()
  await revokeTokens(bao)
  await eventually('another login', () => linesSaying(plugin, 'logged in').length > logins)
  rmSync(dirname(socket), { recursive: true })
  await plugin.waitForSocket()
  await plugin.waitForHealth('ok')
})

void test('in a pod, NODE_OPTIONS of config node grants the same', async (t) => {
  const folder = tempFolder('pod')
  const values = { FOLDER: folder, TOKEN: vault.tokenFile, OTHER: join(folder, '..', 'other') }
  const plugin = await fixture.launch(
    { kms: { socket: join(folder, 'kms.sock') } },
    ({ args }: CommandLine) => {
      const configFile = args.at(-1) ?? ''
      const root = dirname(dirname(installProbe({ ...values, CONFIG: configFile })))
      const command = ['config', 'node', '--shape', 'static-pod', '--config', configFile]
      const pod = parse(execFileSync(PROGRAM, command, { encoding: 'utf8' })) as StaticPod
      const [variable] = pod.spec.containers[0]?.env ?? []
      const options = variable?.value.replace('/app/dist', join(root, 'dist'))
      const program = [process.execPath, join(root, 'dist/transit-bridge.cjs')]
      return { command: 'env', args: [`NODE_OPTIONS=${options ?? ''}`, ...program, ...args] }
    },
  )
  await plugin.waitForSocket()
  await plugin.waitForHealth('ok')
  t.strictSame(await probe(plugin.program), EXPECTED)
})

void test('only grants that the command line of Node.js has can be kept, each as narrow as possible', (t) => {
  const { read, write } = findFileNeeds(parseConfig('x', VALID, {}).config, 'kms')
  t.ok(read.length > 0)
  t.same(write, ['/run/transit-bridge/*'])
  const dropped: string[] = []
  const rights = {
    has: () => true,
    drop: (scope: string, path = '') => void dropped.push(`${scope} ${path}`),
  }
  const own = ['--allow-fs-read=/app/*']
  const needs = { read: ['/a/b', '/c/d'], write: ['/c/*'] }
  const options = ['/a/*', '/a/b', '/c/*', '/d/*', '/'].map((path) => `--allow-fs-read=${path}`)
  const writes = ['/c/*', '/'].map((path) => `--allow-fs-write=${path}`)
  t.equal(restrictFiles(needs, rights, [...own, ...options, ...writes], '/app/x.cjs'), undefined)
  t.same(dropped, ['fs.read /d/*', 'fs.read /', 'fs.write /'], 'no folder around a needed file')
  dropped.length = 0
  t.match(restrictFiles(needs, rights, [...own, ...options], '/app/x.cjs'), /^\/c\/\* is not/)
  t.match(restrictFiles(needs, rights, ['--allow-fs-read=/'], '/app/x.cjs'), /^\/a\/b is not/)
  t.match(restrictFiles(needs, undefined), /without --permission/)
  t.same(dropped, [])
  t.end()
})

fixture.end()
