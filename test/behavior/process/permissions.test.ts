// The right to files, processes, threads and native code, in the running program as the launcher starts it.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
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
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'

import { restrictFiles } from '../../../src/commands/cli/process/file-rights.ts'
import { findFileNeeds } from '../../../src/config/file-needs.ts'
import { parseConfig } from '../../../src/config/load.ts'
import { makeFolderBeside } from '../../../src/grpc/private-folder.ts'
import { ALLOW_ALL } from '../../csi/fixture.ts'
import { eventually } from '../../real/host/eventually.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { Provider } from '../../real/program/provider.ts'
import type { CommandLine, ServedProgram } from '../../real/program/served-program.ts'
import { KEY } from '../../real/vault/kms-vault.ts'
import { revokeTokens } from '../../real/vault/revoke-tokens.ts'
import { rotateKey } from '../../real/vault/transit-setup.ts'
import { VALID } from '../../config/valid-config.ts'
import { buildProgram, PROGRAM } from '../../commands/program.ts'
import { readSealedFile } from '../../kms/local/read-sealed-file.ts'
import { newPod, PodVault, ROLE } from '../../csi/pod-vault.ts'
import { ALLOW_RUNTIME, Kubelet, PodSocket, RUNTIME_POLICY } from '../../csi/runtime/fixture.ts'
import { Fixture, linesSaying, newSeed, waitForLines } from '../fixture.ts'
import { EXPECTED, installProbe, probe } from './rights-probe.ts'

buildProgram()
const fixture = await Fixture.open()
const { bao, vault } = fixture

type StaticPod = {
  spec: { containers: { env?: { name: string; value: string }[] }[] }
}

/** Waits until so many starts have said that they are restricted. */
const waitForRestrictions = (plugin: ServedProgram, starts: number) =>
  waitForLines(plugin, 'file access is restricted', starts)

/** A token as the kubelet projects it: token -> ..data/token, ..data -> a folder that is replaced. */
function projectToken(folder: string, name: string, token: string): void {
  mkdirSync(join(folder, name))
  writeFileSync(join(folder, name, 'token'), token)
  symlinkSync(name, join(folder, '..data_tmp'))
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
}

/** As a start that was killed an hour ago leaves it beside its socket. */
async function leaveFolder(socket: string): Promise<string> {
  const left = await makeFolderBeside(socket)
  const then = new Date(Date.now() - 3_600_000)
  utimesSync(left, then, then)
  return left
}

void test('kms can use the files of its configuration and nothing else, and still does all its work', async (t) => {
  const folder = tempFolder('rights')
  const tokens = tempFolder('projected')
  projectToken(tokens, '..1', readFileSync(vault.tokenFile, 'utf8'))
  symlinkSync('..data/token', join(tokens, 'token'))
  writeFileSync(join(tokens, 'other'), 'other')
  const socket = join(folder, 'made', 'kms.sock')
  const sealedFile = join(tempFolder('state'), 'local-keys')
  const nodeKeyFile = join(tempFolder('node-key'), 'key')
  writeFileSync(nodeKeyFile, randomBytes(32), { mode: 0o400 })
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
        localKeys: { enabled: true, sealedFile, nodeKeyFile },
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
  await waitForRestrictions(plugin, 1)
  await plugin.program.waitUntil('the compiled code to be saved', async () => {
    return (await probe(plugin.program))['writing compiled code'] === 'denied'
  })
  t.strictSame(await probe(plugin.program), EXPECTED)
  t.ok(existsSync(join(dirname(dirname(command)), 'dist/compile-cache')))
  await eventually('the sealed file', () => existsSync(sealedFile))

  // The kubelet replaces the token, and the session ends.
  await vault.writeToken()
  projectToken(tokens, '..2', readFileSync(vault.tokenFile, 'utf8'))
  rmSync(join(tokens, '..1'), { recursive: true })
  await revokeTokens(bao)
  await eventually('a login with the new token', () => linesSaying(plugin, 'logged in').length > 1)
  await plugin.waitForHealth('ok')
  // tmpfiles removes the socket with its folder.
  rmSync(dirname(socket), { recursive: true })
  await plugin.program.waitForLine(/created again|again/)
  await plugin.waitForSocket()
  const seed = newSeed()
  const wrapped = await plugin.client.encrypt(seed)
  t.match((await plugin.admin('/metrics')).text, /process_open_fds \d/)

  await rotateKey(bao, KEY)
  const owner = { clusterId: 'test-cluster', keyPath: `transit/${KEY}` }
  await eventually('a write of the new local key', () => {
    const { localKeys } = readSealedFile({ sealedFile, nodeKeyFile }, owner)
    return localKeys.some(({ keyId }) => keyId !== wrapped.keyId)
  })
  // A kill leaves part of a write.
  await plugin.kill()
  const unfinished = join(dirname(sealedFile), '.local-keys.new')
  writeFileSync(unfinished, 'part')
  const left = [await leaveFolder(socket), await leaveFolder(`${sealedFile}.sock`)]
  await plugin.restart()
  t.same(await plugin.client.decrypt(wrapped), seed)
  await waitForRestrictions(plugin, 2)
  await eventually('the end of the part', () => !existsSync(unfinished))
  await eventually('the end of the folders', () => !left.some((path) => existsSync(path)))
  t.strictSame(linesSaying(plugin, 'kms.localKeys.sealedFile'), [])

  // Another configuration grants nothing before a restart.
  const text = readFileSync(plugin.configFile, 'utf8')
  writeFileSync(plugin.configFile, text.replaceAll(values.TOKEN, values.OTHER))
  await plugin.program.waitUntil('the compiled code to be saved', async () => {
    return (await probe(plugin.program))['writing compiled code'] === 'denied'
  })
  t.strictSame(await probe(plugin.program), EXPECTED)
  await plugin.kill()
  await plugin.restart()
  await waitForRestrictions(plugin, 3)
  const restarted = await probe(plugin.program)
  t.match(restarted, { 'reading a file beside the token': 'done', 'reading the token': 'denied' })
})

void test('csi can use the files of its configuration and nothing else, also with csi.runtime, and still does all its work', async (t) => {
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
  await waitForRestrictions(provider, 1)

  const kubeletFolder = tempFolder('kubelet')
  const runtime = {
    enabled: true,
    socket: join(kubeletFolder, 'plugins/driver/csi.sock'),
    registrationSocket: join(kubeletFolder, 'plugins_registry/driver-reg.sock'),
    stateFolder: join(tempFolder('runtime'), 'state'),
  }
  const { types: _types, ...rule } = ALLOW_RUNTIME
  const rules = [rule]
  provider.configure({ vault: { address: bao.address }, csi: { ...csi, rules, runtime } })
  await provider.stop()
  await provider.restart()
  await eventually('the driver', () => existsSync(runtime.registrationSocket))
  const pods = await PodVault.startIn({ bao, issuer: vault.issuer })
  await pods.enableRole(ROLE, RUNTIME_POLICY)
  const kubelet = new Kubelet(pods, runtime.socket, join(kubeletFolder, 'pods'))
  t.teardown(() => kubelet.close())
  const pod = newPod()
  const volumes = join(kubeletFolder, 'pods', pod.uid, 'volumes/kubernetes.io~csi')
  // Longer than the address of a socket, so the pod sees it elsewhere.
  const targetPath = join(volumes, 'v'.repeat(63), 'mount')
  mkdirSync(dirname(targetPath), { recursive: true })
  const seenByPod = join(tempFolder('pod'), 'vault')
  symlinkSync(targetPath, seenByPod)
  await kubelet.publish(pod, { targetPath })
  const client = new PodSocket(join(seenByPod, 'vault.sock'))
  const isServed = async () => {
    const answer = await client.ask('transit/random', { body: {} }).catch(() => undefined)
    return answer?.status === 200
  }
  t.ok(await isServed())
  await provider.program.waitUntil('the compiled code to be saved', async () => {
    return (await probe(provider.program))['writing compiled code'] === 'denied'
  })
  // The configuration no longer names the CA.
  t.strictSame(await probe(provider.program), { ...EXPECTED, 'reading the token': 'denied' })
  await waitForRestrictions(provider, 2)
  rmSync(join(targetPath, 'vault.sock'))
  await eventually('the socket again', isServed)

  await provider.kill()
  await provider.restart()
  // On a disk, the record has no token.
  await eventually('the socket of the record', async () => {
    return (await client.ask('transit/random', { body: {} })).status === 503
  })
  await eventually('the driver again', () => kubelet.publish(pod, { targetPath }))
  await eventually('the socket with the new token', isServed)
  await kubelet.unpublish(pod, targetPath)
  t.notOk(existsSync(targetPath))
  t.same(readdirSync(join(runtime.stateFolder, 'volumes')), [])

  const elsewhere = join(tempFolder('elsewhere'), 'mount')
  await t.rejects(kubelet.publish(newPod(), { targetPath: elsewhere }), {
    message: /cannot be created \(ERR_ACCESS_DENIED\).*csi\.runtime\.registrationSocket/,
  })
})

void test('a file that the launcher does not find keeps the right to all files, and the log names it', async (t) => {
  const folder = join(tempFolder('rights'), 'a folder')
  mkdirSync(folder)
  const tokenFile = join(folder, 'token')
  copyFileSync(vault.tokenFile, tokenFile)
  const plugin = await fixture.startHealthy({ auth: { tokenFile } })
  const lines = () => linesSaying(plugin, 'file access is not restricted')
  await eventually('its rights', () => lines().length > 0)
  t.match(lines(), [{ reason: `${tokenFile} is not among the granted files` }])
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
  await waitForRestrictions(plugin, 2)

  await vault.writeToken()
  await revokeTokens(bao)
  await eventually('a login after those of the starts', () => {
    return linesSaying(plugin, 'logged in').length > 2
  })
  rmSync(dirname(socket), { recursive: true })
  await plugin.waitForSocket()
  await plugin.waitForHealth('ok')
  t.ok(await plugin.client.encrypt(newSeed()))
})

void test('in a pod, NODE_OPTIONS of config node grants the same', async (t) => {
  const folder = tempFolder('pod')
  const values = { FOLDER: folder, TOKEN: vault.tokenFile, OTHER: join(folder, '..', 'other') }
  const left = await leaveFolder(join(folder, 'kms.sock'))
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
  t.notOk(existsSync(left), 'what a killed start left beside the socket is removed')
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
