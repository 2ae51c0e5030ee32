import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { test } from 'tap'

import { findCredentialKey, NODE_KEY_CREDENTIAL } from '../../src/files/systemd-credential.ts'
import { NODE_KEY_FILE } from '../../src/files/systemd-credential.ts'
import { KEY_UNIT } from '../../src/node/key/key-unit.ts'
import { findKeyChoice, type KeyChoiceOptions } from '../../src/node/key/key-choice.ts'
import { applyNodeKey, planNodeKey } from '../../src/node/key/node-key.ts'
import { SystemdCreds } from '../../src/files/systemd-creds.ts'
import { setupNodeKeyCommand } from '../../src/commands/setup/node-key.ts'
import { BridgeError } from '../../src/errors.ts'
import { eventually } from '../real/host/eventually.ts'
import { whyNoMounts } from '../real/host/mount-namespace.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { runOnTpmHost } from '../real/host/tpm-host.ts'
import { Program } from '../real/program/program.ts'
import { findSecret, rememberSecret } from '../real/program/told-secrets.ts'
import { execute } from './execute.ts'
import { memoryTerminal } from './memory-terminal.ts'
import { buildProgram, PROGRAM } from './program.ts'

const creds = new SystemdCreds({})

async function setup(root: string, flags: Record<string, string | true | undefined> = {}) {
  const terminal = memoryTerminal()
  const values = { root, 'with-key': 'host', yes: true as const, ...flags }
  const code = await execute(setupNodeKeyCommand, values, terminal)
  return { code, text: terminal.text() }
}

const HOST_KEY = '/var/lib/systemd/credential.secret'

/** The file system of this machine, as far as its host key goes. */
function nodeRoot(hostKey = readHostKey()): string {
  const root = tempFolder('node-key')
  mkdirSync(join(root, dirname(HOST_KEY)), { recursive: true })
  writeFileSync(join(root, HOST_KEY), hostKey, { mode: 0o600 })
  return root
}

/** systemd-creds makes it for the first credential. */
function readHostKey(): Buffer {
  if (!existsSync(HOST_KEY)) execFileSync('systemd-creds', ['setup'])
  return readFileSync(HOST_KEY)
}

const nodeKeyIn = (root: string) => creds.decrypt(readFileSync(join(root, NODE_KEY_CREDENTIAL)))

void test('a node key is made, encrypted by the key of the host, with the unit that provides it', async (t) => {
  const root = nodeRoot()
  t.match(await setup(root, { 'dry-run': true }), {
    code: 0,
    text: /\+ create {3}\/etc\/credstore/,
  })
  t.notOk(existsSync(join(root, 'etc')), 'a dry run changes nothing')
  const { code, text } = await setup(root)
  t.equal(code, 0)
  t.ok(text.includes(`nodeKeyFile: ${NODE_KEY_FILE}`), text)
  await t.test('what comes next are the steps of the documentation, as complete commands', (s) => {
    const commands = [...text.matchAll(/^ +transit-bridge (.*)$/gm)].map(([, words = '']) => words)
    s.match(commands, [/^config node /, /^rotate /, /^doctor /, /^verify --offline /])
    for (const words of commands) s.match(words, ' --config /etc/transit-bridge/config.yaml')
    s.match(commands[0], / --shape SHAPE /)
    s.match(text, /Replace the unit or static pod[^]*Restart the plugin/)
    s.end()
  })
  t.equal(statSync(join(root, NODE_KEY_CREDENTIAL)).mode & 0o777, 0o600)
  const nodeKey = await nodeKeyIn(root)
  t.equal(nodeKey.length, 32)
  t.notOk(readFileSync(join(root, NODE_KEY_CREDENTIAL)).includes(nodeKey))
  rememberSecret(nodeKey)
  t.equal(findSecret(text), undefined)
  t.match(await setup(root), {
    code: 0,
    text: /with a key that is on the same disk\n(.*\n)*nothing to do/,
  })
  t.same(await nodeKeyIn(root), nodeKey, 'a second run keeps it')
  await t.rejects(setup(root, { 'with-key': 'host+tpm2' }), {
    code: 'HOST_FAILED',
    message: /is not encrypted with host\+tpm2; pass --replace to create a new node key$/,
  })
  t.same(await nodeKeyIn(root), nodeKey)
  t.match(await setup(root, { replace: true }), { code: 0, text: /~ replace/ })
  t.notSame(await nodeKeyIn(root), nodeKey)
})

void test('without --yes and a terminal nothing is changed', async (t) => {
  const root = nodeRoot()
  t.match(await setup(root, { yes: undefined }), {
    code: 2,
    text: /standard (input|error) is not a terminal, so you cannot be asked; pass --yes to make/,
  })
  t.notOk(existsSync(join(root, 'etc')))
})

void test('a root with another host key, or with none, is refused before anything is written', async (t) => {
  const [other, none] = [nodeRoot(randomBytes(4_096)), nodeRoot()]
  rmSync(join(none, HOST_KEY))
  for (const root of [other, none]) {
    for (const key of ['host', 'auto', 'host+tpm2']) {
      await t.rejects(setup(root, { 'with-key': key }), {
        code: 'HOST_FAILED',
        message: /credential\.secret is not the host key of this system.*chroot/,
      })
    }
    t.notOk(existsSync(join(root, 'etc')))
  }
})

void test('a root that is not a folder is refused as wrong usage', async (t) => {
  const file = join(nodeRoot(), HOST_KEY)
  for (const key of ['host', 'tpm2']) {
    await t.rejects(setup('/nonexistent', { 'with-key': key }), {
      code: 'USAGE_INVALID',
      message: /^--root \/nonexistent does not exist, .*; pass the folder where/,
    })
    await t.rejects(setup(file, { 'with-key': key }), { message: /^--root .* is not a folder;/ })
  }
})

void test('a run that was killed at any step can be run again', async (t) => {
  const done = nodeRoot()
  await setup(done)
  const credential = readFileSync(join(done, NODE_KEY_CREDENTIAL))
  const unfinished = (file: string) => join(dirname(file), `.${basename(file)}.new`)
  const steps: readonly (readonly [string, Buffer])[] = [
    [unfinished(NODE_KEY_CREDENTIAL), credential.subarray(0, 10)],
    [NODE_KEY_CREDENTIAL, credential],
    [unfinished(KEY_UNIT.path), Buffer.from('[Unit]')],
  ]
  for (const [file, content] of steps) {
    const root = nodeRoot()
    mkdirSync(join(root, dirname(file)), { recursive: true })
    writeFileSync(join(root, file), content)
    t.match(await setup(root), { code: 0 }, file)
    t.equal((await nodeKeyIn(root)).length, 32)
    t.equal(readFileSync(join(root, KEY_UNIT.path), 'utf8'), KEY_UNIT.content)
    t.match(await setup(root), { code: 0, text: /nothing to do[^]*systemctl restart/ })
    t.notOk(existsSync(join(root, unfinished(NODE_KEY_CREDENTIAL))))
  }
})

void test('a credential that this machine cannot decrypt is not replaced automatically', async (t) => {
  const root = nodeRoot()
  await setup(root)
  const file = join(root, NODE_KEY_CREDENTIAL)
  const foreign = readFileSync(file, 'latin1').replace(/[A-Za-z]/, (letter) =>
    letter === 'A' ? 'B' : 'A',
  )
  writeFileSync(file, foreign, 'latin1')
  await t.rejects(setup(root), {
    code: 'HOST_FAILED',
    message:
      /exists, but this machine cannot decrypt it .*; pass --replace to create a new node key/,
  })
  t.equal(readFileSync(file, 'latin1'), foreign)
  t.match(await setup(root, { replace: true }), { code: 0 })
  t.equal((await nodeKeyIn(root)).length, 32)
})

void test('a credential with something else is named', async (t) => {
  const root = nodeRoot()
  await setup(root)
  writeFileSync(join(root, NODE_KEY_CREDENTIAL), await creds.encrypt(Buffer.from('short'), 'host'))
  await t.rejects(setup(root), { message: /contains 5 bytes instead of 32/ })
})

void test('an old unit is replaced, and systemd accepts the new one', async (t) => {
  const root = nodeRoot()
  await setup(root)
  const unit = join(root, KEY_UNIT.path)
  writeFileSync(unit, '[Service]\n')
  t.match(await setup(root), { code: 0, text: /exists .*\n~ replace {2}\/etc\/systemd/ })
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', unit], { encoding: 'utf8' })
  t.equal(status, 0, stderr)
  t.equal(stderr, '')
})

void test('the command of the unit puts the node key where the configuration names it', async (t) => {
  const root = nodeRoot()
  const [, command = ''] = /^ExecStart=(.+)$/m.exec(KEY_UNIT.content) ?? []
  writeFileSync(join(root, 'node-key'), Buffer.alloc(32, 5))
  const target = join(root, 'key')
  const line = command.replace('%d', root).replace(NODE_KEY_FILE, target)
  execFileSync('sh', ['-c', line])
  t.same(readFileSync(target), Buffer.alloc(32, 5))
  t.equal(statSync(target).mode & 0o777, 0o400)
})

void test('a TPM 2 encrypts the node key, and no other TPM decrypts it', async (t) => {
  const [one, other] = [await startTpm(), await startTpm()]
  t.teardown(() => Promise.all([one.stop(), other.stop()]))
  const root = nodeRoot()
  const made = await setup(root, { 'with-key': 'tpm2', 'tpm2-device': one.device })
  t.equal(made.code, 0)
  const credential = readFileSync(join(root, NODE_KEY_CREDENTIAL))
  t.equal((await new SystemdCreds({ tpm2Device: one.device }).decrypt(credential)).length, 32)
  t.equal(findCredentialKey(credential), 'tpm2')
  const foreign = new SystemdCreds({ tpm2Device: other.device })
  await t.rejects(foreign.decrypt(credential), { code: 'HOST_FAILED' })
  const plan = { creds: foreign, withKey: 'tpm2', replace: false, root } as const
  await t.rejects(planNodeKey(plan), { message: /this machine cannot decrypt it/ })
})

void test('an old systemd, and a systemd-creds that fails, are named', async (t) => {
  const failing = {
    encrypt: () =>
      Promise.reject(new BridgeError('HOST_FAILED', 'systemd-creds encrypt failed: no TPM')),
    decrypt: creds.decrypt.bind(creds),
    findMissingTpm2Parts: creds.findMissingTpm2Parts.bind(creds),
  }
  const plan = {
    creds: failing,
    withKey: 'tpm2',
    replace: false,
    root: nodeRoot(),
  } as const
  t.match(await planNodeKey(plan), [{ change: 'create' }, { change: 'create' }])
  await t.rejects(creds.encrypt(Buffer.alloc(32), 'tpm2'), {
    code: 'HOST_FAILED',
    message: /systemd-creds encrypt failed: \S/,
  })
})

void test('a dry run reports that auto chooses the host key, and why', async (t) => {
  const root = nodeRoot()
  t.match(await setup(root, { 'with-key': 'auto', 'dry-run': true }), {
    code: 0,
    text: /random bytes, encrypted with the host key: auto found no usable TPM 2 in the system that runs this command \(missing: \S.*\)\. The host key is on the same disk, so anyone with the disk has the node key$/m,
  })
  const { text } = await setup(root, { 'dry-run': true })
  t.match(text, /encrypted with the host key\. The host key is on the same disk, so .* node key$/m)
  t.match(
    text,
    /\nNext:\n\(.*\)\n1\. .*[^]*nodeKeyFile: /,
    'what to do next is the same as without --dry-run',
  )
  t.notMatch(text, /^warn: /m)
})

void test('a dry run warns that a TPM 2 that was asked for cannot be used, and why', async (t) => {
  const root = nodeRoot()
  for (const [key, words] of [
    ['tpm2', 'encrypted with the TPM 2'],
    ['host+tpm2', 'encrypted with the host key and the TPM 2'],
  ] as const) {
    const { code, text } = await setup(root, { 'with-key': key, 'dry-run': true })
    t.equal(code, 0)
    t.match(text, `random bytes, ${words}\n`)
    t.match(
      text,
      /^warn: systemd cannot use a TPM 2 here \(missing: \S.*\), so this will fail; pass --with-key host, or/m,
    )
  }
  const tpm = await startTpm()
  t.teardown(() => tpm.stop())
  const works = { 'with-key': 'tpm2', 'tpm2-device': tpm.device, 'dry-run': true } as const
  t.notMatch((await setup(root, works)).text, /warn: /)
})

void test(
  'a dry run reports that auto chooses the TPM 2, and whether that works',
  { skip: whyNoMounts() },
  async (t) => {
    buildProgram()
    const tpm = await startTpm()
    t.teardown(() => tpm.stop())
    const plan = async (device: string, hostKey: 'with' | 'without' = 'with') => {
      const command = [PROGRAM, 'setup', 'node-key', '--dry-run', '--tpm2-device', device]
      const { code, stdout, stderr } = await runOnTpmHost(command, hostKey)
      t.equal(code, 0, stderr)
      return stdout
    }
    t.match(await plan(tpm.device), /encrypted with the TPM 2, which systemd-creds has just used$/m)
    const created =
      /the TPM 2, which .* used\. systemd-creds first creates \/var\/lib\/systemd\/credential.secret$/m
    t.match(await plan(tpm.device, 'without'), created)
    const dead = await plan('swtpm:host=127.0.0.1,port=1')
    t.match(
      dead,
      /with the host key: auto found no usable TPM 2 \(systemd-creds encrypt failed: \S/,
    )
  },
)

void test('a node key is not written if auto encrypts it with another key than planned', async (t) => {
  const root = nodeRoot()
  const wanted = { creds, withKey: 'auto', replace: false, root } as const
  const [credential, unit] = await planNodeKey(wanted)
  if (credential === undefined || unit === undefined) throw new Error('there is no plan')
  t.equal(credential.key, 'host')
  await t.rejects(applyNodeKey(wanted, [{ ...credential, key: 'tpm2' }, unit]), {
    code: 'HOST_FAILED',
    message: /with host instead of tpm2 as planned; it was not written/,
  })
  t.notOk(existsSync(join(root, 'etc')))
})

void test('what auto chooses is reported as unknown where systemd-creds does not show it', async (t) => {
  const choose = (answers: Partial<KeyChoiceOptions['creds']>, hasHostKey: boolean) =>
    findKeyChoice({
      creds: {
        encrypt: () => Promise.reject(new BridgeError('HOST_FAILED', 'scripted failure')),
        findMissingTpm2Parts: () => Promise.resolve(undefined),
        ...answers,
      },
      withKey: 'auto',
      hasHostKey,
      isElsewhere: false,
    })
  t.same(await choose({}, true), {
    key: undefined,
    words: 'encrypted with the host key or a TPM 2: what auto uses is unknown (scripted failure)',
  })
  t.match(
    (await choose({}, false)).words,
    /is unknown \(this version of systemd does not report .*\)\. systemd-creds first creates/,
  )
  const encrypt = () => Promise.resolve(Buffer.from('AAAA'))
  t.match((await choose({ encrypt }, true)).words, /is unknown \(systemd-creds does not show it/)
  const findMissingTpm2Parts = () => Promise.resolve(['driver'])
  t.match(await choose({ findMissingTpm2Parts }, false), {
    key: 'host',
    words: /\(missing: driver\)\. The host key .*\. systemd-creds first/,
  })
})

/** A TPM 2 in software. Its sockets are files, so no other program can have its addresses. */
async function startTpm() {
  const folder = tempFolder('tpm')
  const socket = join(folder, 'sock')
  const program = Program.start({
    name: 'swtpm',
    command: 'swtpm',
    args: [
      'socket',
      '--tpm2',
      `--tpmstate=dir=${folder}`,
      `--server=type=unixio,path=${socket}`,
      // The client of the TPM (tcti-swtpm) expects the control channel under this name.
      `--ctrl=type=unixio,path=${socket}.ctrl`,
      '--flags=not-need-init,startup-clear',
    ],
    folder,
  })
  const device = `swtpm:path=${socket}`
  const probe = new SystemdCreds({ tpm2Device: device })
  await eventually('the TPM', async () => (await probe.encrypt(Buffer.alloc(1), 'tpm2')).length > 0)
  return { device, stop: () => program.terminate() }
}
