// The socket at its path: it comes back when it is removed, a successor's is left alone, and its group can reach it.
import { spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, lstatSync, renameSync, rmSync, statSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { test } from 'tap'
import { CsiClient } from '../../real/program/csi-client.ts'
import { KmsClient } from '../../real/program/kms-client.ts'
import { Provider } from '../../real/program/provider.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { Fixture, waitForLines } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

const fixture = await Fixture.open()
const KMS = { refreshInterval: '5m' }
const NOBODY = 65_534
const GROUP = 4_242

void test('kms: a socket that was removed is served again, and calls in flight continue', async (t) => {
  const plugin = await fixture.startHealthy({ kms: KMS })
  const wrapped = await plugin.client.encrypt(Buffer.alloc(32, 1))
  rmSync(plugin.socket)
  await eventually('the socket to be back', () => existsSync(plugin.socket))
  const next = new KmsClient(plugin.socket)
  t.match(await next.status(), { healthz: 'ok' })
  next.close()
  t.same(await plugin.client.decrypt(wrapped), Buffer.alloc(32, 1), 'who was connected still is')
  await waitForLines(plugin, 'the socket was gone from its path', 1)
  t.match(await plugin.admin('/livez'), { status: 200 })
})

void test('kms: the folder that was removed with it is created again', async (t) => {
  const socket = join(tempFolder('run'), 'transit-bridge', 'kms.sock')
  await fixture.startHealthy({ kms: { ...KMS, socket } })
  rmSync(dirname(socket), { recursive: true })
  await eventually('the socket to be back', () => existsSync(socket))
  const next = new KmsClient(socket)
  t.match(await next.status(), { healthz: 'ok' })
  next.close()
})

void test("kms: another process's socket at the path is not touched and fails /livez", async (t) => {
  const plugin = await fixture.startHealthy({ kms: KMS })
  const other = createServer((connection) => void connection.end()).listen(`${plugin.socket}.new`)
  await once(other, 'listening')
  renameSync(`${plugin.socket}.new`, plugin.socket)
  const { ino } = lstatSync(plugin.socket)
  await eventually('/livez to fail', async () => (await plugin.admin('/livez')).status === 503)
  t.match(await plugin.admin('/readyz'), { status: 503, text: /the socket is not served/ })
  await waitForLines(plugin, 'the socket is no longer served: another process serves', 1)
  plugin.program.signal('SIGTERM')
  t.match(await plugin.program.ended(), { code: 0 })
  t.equal(lstatSync(plugin.socket).ino, ino, "its end does not remove the other's socket")
  other.close()
})

void test('csi: a socket that was removed is served again', async (t) => {
  const folder = tempFolder('providers')
  const auth = { method: 'token', tokenFile: join(folder, 'none') }
  const vault = { address: 'http://127.0.0.1:1', auth }
  const provider = await Provider.start(folder, { vault, csi: { audience: 'vault', rules: [] } })
  rmSync(provider.socket)
  await eventually('the socket to be back', () => existsSync(provider.socket))
  const client = new CsiClient(provider.socket)
  t.match(await client.version(), { runtimeName: /transit-bridge/ })
  client.close()
  t.equal(await provider.stop(), 0)
})

/** Whether a user who is only in the group can connect. */
function canConnect(socket: string): boolean {
  const program = `require('node:net').connect(process.argv[1]).on('connect', () => process.exit(0)).on('error', () => process.exit(1))`
  const identity = { uid: NOBODY, gid: GROUP, env: {} }
  return spawnSync(process.execPath, ['-e', program, socket], identity).status === 0
}

const skip = process.getuid?.() === 0 ? false : 'only root can change users'
void test(
  'kms.socketGroup reaches the socket in a folder that the plugin created',
  { skip },
  async (t) => {
    const parent = tempFolder('run')
    chmodSync(parent, 0o711)
    const socket = join(parent, 'a', 'transit-bridge', 'kms.sock')
    await fixture.start({ kms: { ...KMS, socket, socketMode: '0660', socketGroup: GROUP } })
    t.equal(canConnect(socket), true)
    const { gid, mode } = statSync(dirname(socket))
    t.same({ gid, mode: mode & 0o777 }, { gid: GROUP, mode: 0o750 }, 'others cannot enter')
  },
)

fixture.end()
