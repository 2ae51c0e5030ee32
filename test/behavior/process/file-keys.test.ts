// Every key of the schema that names a file: the servers can still use the file after it was replaced.
import { spawn } from 'node:child_process'
import {
  copyFileSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'tap'
import { stringify } from 'yaml'

import { configShape, type Entries, type Entry, type Shape } from '../../../src/config/shape.ts'
import { ROOT } from '../../commands/program.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'

const READER = join(import.meta.dirname, 'restricted-reader.ts')

/** Keys whose file the server creates, or in whose folder it creates others. */
const WRITTEN = ['socket', 'registrationSocket', 'sealedFile', 'stateFolder']
/** Values of required keys that name no file. */
const VALUES: Readonly<Record<string, unknown>> = {
  address: 'https://127.0.0.1:8200',
  key: 'k8s',
  clusterId: 'prod',
  role: 'kms',
  audience: 'vault',
  enabled: true,
  rules: [
    { namespaces: ['*'], serviceAccounts: ['*'], roles: ['*'], keys: ['*'], types: ['jwks'] },
  ],
}
/** Keys without which no role starts, in addition to those that the schema requires. */
const ALSO_REQUIRED = ['enabled', 'key']
/** Sections that name no files, or exclude another section. */
const OMITTED = ['admin', 'log', 'decryptCache']
/** The client certificate has two places, which exclude each other. */
const ofAuth = ['vault.auth.certFile', 'vault.auth.keyFile']
const ofVault = ['vault.clientCertFile', 'vault.clientKeyFile']
const omittedFor = (method: string) => (method === 'token' ? ofAuth : ofVault)

interface NamedFile {
  /** As in `kms.localKeys.sealedFile`. */
  readonly key: string
  readonly path: string
  readonly isWritten: boolean
}

/** A configuration with every key that names a file, for a role and a login method; the files are added to `files`. */
function fill(shape: Shape, method: string, files: NamedFile[], at = ''): unknown {
  if (shape.kind === 'variant') {
    const entries = shape.options.get(method) ?? [...shape.options.values()][0]
    return entries === undefined ? {} : fillEntries(entries, method, files, at)
  }
  return shape.kind === 'mapping' ? fillEntries(shape.entries, method, files, at) : undefined
}

function fillEntries(entries: Entries, method: string, files: NamedFile[], at: string): object {
  const filled = [...entries].map(([name, entry]) => {
    const key = at === '' ? name : `${at}.${name}`
    const isOmitted = OMITTED.includes(name) || omittedFor(method).includes(key)
    return [name, isOmitted ? undefined : fillEntry(name, entry, method, files, key)]
  })
  return Object.fromEntries(filled.filter(([, value]) => value !== undefined))
}

function fillEntry(name: string, entry: Entry, method: string, files: NamedFile[], key: string) {
  if (entry.kind === 'file' || entry.kind === 'folder') {
    const path = join(tempFolder('key'), name)
    files.push({ key, path, isWritten: WRITTEN.includes(name) })
    return path
  }
  if (name === 'method') return key === 'vault.auth.method' ? method : undefined
  if (entry.kind === '' && entry.shape.kind !== 'value')
    return fill(entry.shape, method, files, key)
  return entry.required || ALSO_REQUIRED.includes(name) ? VALUES[name] : undefined
}

function methods(): readonly string[] {
  const vault = entriesOf(configShape).get('vault')
  const auth = vault === undefined ? undefined : entriesOf(vault.shape).get('auth')?.shape
  return auth?.kind === 'variant' ? [...auth.options.keys()] : []
}

const entriesOf = (shape: Shape): Entries => (shape.kind === 'mapping' ? shape.entries : new Map())

/** Starts the reader as the launcher starts the program. Returns its answer to each line. */
function startReader(role: string, configFile: string) {
  const root = tempFolder('installed')
  for (const name of ['bin', 'dist']) mkdirSync(join(root, name))
  copyFileSync(join(ROOT, 'bin/transit-bridge'), join(root, 'bin/transit-bridge'))
  writeFileSync(join(root, 'dist/transit-bridge.cjs'), `import(${JSON.stringify(READER)})`)
  const program = spawn(join(root, 'bin/transit-bridge'), [role, '--config', configFile], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  program.stdin.on('error', () => undefined)
  const lines = createInterface({ input: program.stdout })[Symbol.asyncIterator]()
  const answer = async () => String((await lines.next()).value)
  return {
    answer,
    ask: (line: string) => {
      program.stdin.write(`${line}\n`)
      return answer()
    },
    end: () => program.stdin.end(),
  }
}

/** Puts a file as the kubelet does in a projected volume: NAME -> ..data/NAME, ..data -> a folder. */
function project(path: string, version: string): void {
  const folder = dirname(path)
  mkdirSync(join(folder, version))
  writeFileSync(join(folder, version, 'file'), version)
  symlinkSync(version, join(folder, '..data_tmp'))
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
}

function replaceByName(path: string): void {
  writeFileSync(`${path}.new`, 'new')
  renameSync(`${path}.new`, path)
}

for (const role of ['kms', 'csi']) {
  for (const method of methods()) {
    void test(`${role}, login method ${method}: every file that the configuration names can be used after it was replaced`, async (t) => {
      const files: NamedFile[] = []
      const other = role === 'kms' ? 'csi' : 'kms'
      const sections = new Map([...entriesOf(configShape)].filter(([name]) => name !== other))
      const document = fill({ kind: 'mapping', entries: sections }, method, files)
      const configFile = join(tempFolder('config'), 'config.yaml')
      writeFileSync(configFile, stringify(document))
      t.ok(files.length > 3)
      const read = files.filter(({ isWritten }) => !isWritten)
      for (const { path } of read) {
        project(path, '..1')
        symlinkSync('..data/file', path)
      }
      const reader = startReader(role, configFile)
      t.teardown(reader.end)
      if ((await reader.answer()) !== 'restricted') throw new Error('the reader has other rights')
      for (const { key, path } of read) {
        const line = `read ${path}`
        t.equal(await reader.ask(line), `${line}: done`, key)
        project(path, '..2')
        rmSync(join(dirname(path), '..1'), { recursive: true })
        t.equal(await reader.ask(line), `${line}: done`, `${key}, projected again`)
        unlinkSync(path)
        t.equal(await reader.ask(line), `${line}: ENOENT`, `${key}, missing`)
        replaceByName(path)
        t.equal(await reader.ask(line), `${line}: done`, `${key}, replaced by name`)
        const others = [`read ${path}.other`, `write ${path}`, `write ${path}.other`]
        for (const denied of others)
          t.equal(await reader.ask(denied), `${denied}: ERR_ACCESS_DENIED`, key)
      }
      for (const { key, path } of files.filter(({ isWritten }) => isWritten)) {
        if (key.endsWith('Folder')) mkdirSync(path)
        const line = `write ${key.endsWith('Folder') ? join(path, 'x') : `${path}.x`}`
        t.equal(await reader.ask(line), `${line}: done`, key)
      }
      const denied = `read ${configFile}`
      t.equal(await reader.ask(denied), `${denied}: ERR_ACCESS_DENIED`)
    })
  }
}
