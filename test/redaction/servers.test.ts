// The commands that serve: what they write at level trace, what their admin servers show, and the files that they leave behind,
// also after a crash, contain no secret.
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { createServer } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { test } from 'tap'

import { encodeLocalKeyAssociatedData } from '../../src/seed/local-seal.ts'
import { Fixture, newSeed, outcomeOf } from '../behavior/fixture.ts'
import { buildProgram, PROGRAM } from '../commands/program.ts'
import { ALLOW_ALL } from '../csi/fixture.ts'
import { newPod, PodVault } from '../csi/pod-vault.ts'
import { eventually } from '../real/host/eventually.ts'
import { freePort } from '../real/host/port.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { CsiClient } from '../real/program/csi-client.ts'
import type { Plugin } from '../real/program/plugin.ts'
import { Program } from '../real/program/program.ts'
import { Provider } from '../real/program/provider.ts'
import type { CommandLine, ServedProgram } from '../real/program/served-program.ts'
import { findSecret, rememberSecret } from '../real/program/told-secrets.ts'
import { KEY } from '../real/vault/kms-vault.ts'
import { enableAppRole } from '../real/vault/transit-setup.ts'
import { filesWithSecrets, newKey, newSecret, TestFolders } from './test-folders.ts'

const fixture = await Fixture.open()
const { bao } = fixture
const PAGES = ['/', '/metrics', '/livez', '/readyz', '/readyz?format=json', '/drill', '/none']

/** As on a host that allows core dumps of any size, with the folder of the configuration as the working folder. */
const withCoreDumps = ({ command, args }: CommandLine) => ({
  command: 'sh',
  args: ['-c', 'cd "$(dirname "$3")"; ulimit -c unlimited; exec "$0" "$@"', command, ...args],
})

async function pagesOf(server: ServedProgram): Promise<string> {
  const pages = await Promise.all(PAGES.map((path) => server.admin(path)))
  return pages.map(({ text }) => text).join('\n')
}

/** Ends it as a fault in native code does. */
async function crash({ program }: ServedProgram): Promise<void> {
  process.kill(program.pid, 'SIGSEGV')
  await eventually('its end', () => !program.running)
}

async function rememberLocalKey(wrapped: Awaited<ReturnType<Plugin['client']['encrypt']>>) {
  const { data } = await bao.api('POST', `transit/decrypt/${KEY}`, {
    ciphertext: Buffer.from(
      wrapped.annotations['local-key.transit-bridge.internal'] ?? [],
    ).toString(),
    associated_data: encodeLocalKeyAssociatedData('test-cluster').toString('base64'),
  })
  rememberSecret(Buffer.from(String(data.plaintext), 'base64'))
}

void test('kms discloses no token, secret id, seed, local key or node key', async (t) => {
  const folders = new TestFolders()
  const { roleId, secretId } = await enableAppRole(bao, { policies: ['transit-bridge-kms'] })
  rememberSecret(secretId)
  const drillToken = newSecret()
  const plugin = await fixture.launch(
    {
      kms: {
        refreshInterval: '1s',
        v1beta1: true,
        localKeys: {
          enabled: true,
          sealedFile: folders.out('sealed'),
          nodeKeyFile: folders.write('node-key', newKey()),
        },
      },
      auth: {
        method: 'approle',
        roleIdFile: folders.write('role-id', roleId),
        secretIdFile: folders.write('secret-id', secretId),
      },
      admin: { drill: { tokenFile: folders.write('drill', drillToken) } },
    },
    withCoreDumps,
  )
  await plugin.waitForSocket()
  await plugin.waitForHealth('ok')
  const { client } = plugin
  const seed = newSeed()
  const wrapped = await client.encrypt(seed)
  await rememberLocalKey(wrapped)
  t.same(await client.decrypt(wrapped), seed)
  t.same(await client.decryptV1(await client.encryptV1(seed)), seed)
  const wrong = [
    client.decrypt({ ...wrapped, ciphertext: seed }),
    client.decrypt({ ...wrapped, keyId: seed.toString('hex') }),
    client.decrypt({ ...wrapped, annotations: { [`${seed.toString('hex')}.x`]: seed } }),
    client.decryptV1(seed),
    client.send('/v2.KeyManagementService/Decrypt', seed),
  ]
  const told = (await Promise.all(wrong.map(outcomeOf))).map(({ message }) => message)
  t.equal(findSecret(told.join('\n')), undefined)
  const address = `http://127.0.0.1:${String(plugin.adminPort)}/drill?seconds=1`
  for (const token of [drillToken, newSecret()]) {
    const headers = { authorization: `Bearer ${token}` }
    const answer = await fetch(address, { method: 'POST', headers })
    t.equal(findSecret(await answer.text()), undefined)
  }
  await plugin.waitForHealth('ok')
  t.equal(findSecret(await pagesOf(plugin)), undefined)
  await eventually('the sealed file', () => existsSync(folders.out('sealed')))
  await crash(plugin)
  t.match(plugin.program.output(), /"level":"(?:debug|trace)"/)
  t.strictSame(
    filesWithSecrets(plugin.folder).filter((file) => file !== 'config.yaml'),
    [],
  )
  t.strictSame(filesWithSecrets(folders.outputs), [])
})

void test('csi discloses no token of a pod, value or exported key', async (t) => {
  const vault = await PodVault.start()
  t.teardown(() => vault.stop())
  await vault.makeKey('app-data', 'aes256-gcm96', { exportable: true })
  const provider = await Provider.start(
    tempFolder('providers'),
    {
      vault: { address: vault.bao.address },
      csi: { audience: 'vault', rules: [{ ...ALLOW_ALL }] },
    },
    undefined,
    withCoreDumps,
  )
  const driver = new CsiClient(provider.socket)
  t.teardown(() => driver.close())
  const value = randomBytes(48)
  rememberSecret(value)
  const decrypt = {
    type: 'decrypt',
    key: 'app-data',
    ciphertext: await vault.encrypt('app-data', value),
  }
  const objects = [
    { ...decrypt, path: 'value', encoding: 'raw' },
    { path: 'key', type: 'exportedKey', key: 'app-data', encoding: 'raw' },
  ]
  const { files } = await driver.mount({ attributes: await vault.attributes(newPod(), objects) })
  t.same(files.get('value')?.contents, value)
  rememberSecret(files.get('key')?.contents ?? Buffer.alloc(0))
  const wrong = [
    vault.attributes(newPod(), [
      { ...decrypt, path: 'x', jsonPointer: `/${value.toString('hex')}` },
    ]),
    vault.attributes(newPod(), [{ ...decrypt, path: 'x', key: value.toString('hex') }]),
    vault.attributes(newPod(), [
      { ...decrypt, path: 'x', ciphertext: `vault:v1:${value.toString('base64')}` },
    ]),
    vault.attributes(newPod(), `- ${value.toString('base64')}: [`),
  ]
  for (const attributes of wrong) {
    const { code, message } = await outcomeOf(driver.mount({ attributes: await attributes }))
    t.not(code, 'OK')
    t.equal(findSecret(message.replaceAll(value.toString('hex'), '(as the class says)')), undefined)
  }
  const shown = (text: string) => text.replaceAll(value.toString('hex'), '(as the class says)')
  t.equal(findSecret(shown(await pagesOf(provider))), undefined)
  await crash(provider)
  t.match(provider.program.output(), /"level":"debug"/)
  t.equal(findSecret(shown(provider.program.output())), undefined)
})

void test('forward discloses nothing that passes through it', async (t) => {
  buildProgram()
  const folder = tempFolder('forward')
  const socket = `${folder}/vault.sock`
  const answers = [newSecret(), newSecret()]
  const server = createServer((request, response) => {
    void buffer(request).then(() => response.end(answers.pop()))
  })
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  t.teardown(() => void server.close())
  const port = String(await freePort())
  const args = ['forward', '--socket', socket, '--listen', `127.0.0.1:${port}`]
  const program = Program.start({ name: 'forward', command: PROGRAM, args, folder })
  t.teardown(() => program.kill())
  await program.waitForSocket(Number(port))
  const headers = { 'x-vault-token': newSecret() }
  const body = newSecret()
  const answer = await fetch(`http://127.0.0.1:${port}/${newSecret()}`, {
    method: 'POST',
    headers,
    body,
  })
  t.ok(findSecret(await answer.text()), 'the answer contains one')
  server.closeAllConnections()
  server.close()
  await outcomeOf(
    fetch(`http://127.0.0.1:${port}/${newSecret()}`, { method: 'POST', headers, body }),
  )
  await program.waitForLine(/./)
  t.equal((await program.terminate()).code, 0)
  t.equal(findSecret(program.output()), undefined)
})

fixture.end()
