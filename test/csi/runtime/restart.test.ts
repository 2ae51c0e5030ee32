import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { after, end, test } from 'tap'

import { ByteBudget } from '../../../src/csi/runtime/byte-budget.ts'
import { ConnectionLimit } from '../../../src/csi/runtime/http/connection-limit.ts'
import { respond } from '../../../src/csi/runtime/pod-request.ts'
import { RuntimeVolumes } from '../../../src/csi/runtime/runtime-volumes.ts'
import { VolumeRecords } from '../../../src/csi/runtime/volume-records.ts'
import { VolumeServer } from '../../../src/csi/runtime/http/volume-server.ts'
import { decodeServiceAccountToken } from '../../../src/identity/service-account-token.ts'
import { systemClock } from '../../../src/time/clock.ts'
import { memoryLog } from '../../fakes/log.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { eventually } from '../../real/host/eventually.ts'
import { newPod, PodVault, ROLE } from '../pod-vault.ts'
import { PodSocket, RUNTIME_POLICY, startRuntime } from './fixture.ts'

const vault = await PodVault.start()
after(() => vault.stop())
await vault.enableRole(ROLE, RUNTIME_POLICY)

/** A folder in memory, as /run is. */
function memoryFolder(): string {
  const folder = mkdtempSync('/dev/shm/tb-')
  after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

void test('sockets come back after a restart, with the tokens of the pods, if the state is in memory', async (t) => {
  const folder = tempFolder('rt')
  const runtimeConfig = { stateFolder: join(memoryFolder(), 's') }
  const first = await startRuntime(vault, { folder, runtimeConfig })
  const pod = newPod()
  const socket = await first.kubelet.publish(pod)
  await first.stop()
  const second = await startRuntime(vault, { folder, runtimeConfig })
  t.teardown(() => second.stop())
  t.equal((await socket.ask('transit/random', { body: {} })).status, 200)
  t.equal(second.runtime.volumes.sizeWithoutToken, 0)
  await second.kubelet.unpublish(pod)
  t.same(readdirSync(join(runtimeConfig.stateFolder, 'volumes')), [])
})

void test('only root can read the records', async (t) => {
  const stateFolder = join(memoryFolder(), 's')
  const runtime = await startRuntime(vault, { runtimeConfig: { stateFolder } })
  t.teardown(() => runtime.stop())
  await runtime.kubelet.publish(newPod())
  const volumes = join(stateFolder, 'volumes')
  const [record = ''] = readdirSync(volumes)
  const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)
  t.same([modeOf(volumes), modeOf(join(volumes, record))], ['700', '600'])
})

void test('on a disk no token is stored: after a restart a pod gets 503 until the kubelet calls', async (t) => {
  const folder = tempFolder('rt')
  const first = await startRuntime(vault, { folder })
  const pod = newPod()
  const socket = await first.kubelet.publish(pod)
  const volumes = join(folder, 's', 'volumes')
  const [record = ''] = readdirSync(volumes)
  t.notOk('token' in JSON.parse(readFileSync(join(volumes, record), 'utf8')))
  await first.stop()
  const second = await startRuntime(vault, { folder })
  t.teardown(() => second.stop())
  const early = await socket.ask('transit/random', { body: {} })
  t.equal(early.status, 503, early.text)
  t.match(early.json.errors?.[0], /waits for a token of this pod/)
  t.equal(second.runtime.volumes.sizeWithoutToken, 1)
  await second.kubelet.publish(pod)
  t.equal((await socket.ask('transit/random', { body: {} })).status, 200)
})

void test('a damaged record is reported and removed, and the others are served', async (t) => {
  const folder = tempFolder('rt')
  const first = await startRuntime(vault, { folder })
  const pods = [newPod(), newPod()]
  for (const pod of pods) await first.kubelet.publish(pod)
  await first.stop()
  const volumes = join(folder, 's', 'volumes')
  const [damaged = ''] = readdirSync(volumes)
  const text = readFileSync(join(volumes, damaged), 'utf8')
  writeFileSync(join(volumes, damaged), text.slice(0, text.length / 2))
  const second = await startRuntime(vault, { folder })
  t.teardown(() => second.stop())
  t.equal(second.runtime.volumes.size, 1)
  t.match(
    second.lines.find(({ msg }) => /is damaged/.test(msg)),
    { level: 'warn' },
  )
  for (const pod of pods) await second.kubelet.publish(pod)
  t.equal(second.runtime.volumes.size, 2)
})

void test('the record of a volume whose folder is gone, as after a reboot, is removed', async (t) => {
  const folder = tempFolder('rt')
  const first = await startRuntime(vault, { folder })
  const pod = newPod()
  await first.kubelet.publish(pod)
  await first.stop()
  rmSync(first.kubelet.targetOf(pod), { recursive: true })
  const second = await startRuntime(vault, { folder })
  t.teardown(() => second.stop())
  t.equal(second.runtime.volumes.size, 0)
})

void test('a socket that a clean-up job removed is served again', async (t) => {
  const runtime = await startRuntime(vault)
  t.teardown(() => runtime.stop())
  const socket = await runtime.kubelet.publish(newPod())
  rmSync(socket.path)
  await eventually('the socket again', async () => {
    const answer = await socket.ask('transit/random', { body: {} })
    return answer.status === 200
  })
  t.pass('the socket is back')
})

void test('a driver that stops during a publish serves no socket afterwards', async (t) => {
  const folder = tempFolder('rt')
  const listening = Promise.withResolvers<void>()
  const reached = Promise.withResolvers<void>()
  const { log } = memoryLog()
  const volumes = new RuntimeVolumes({
    records: new VolumeRecords(folder, log),
    createServer: () => {
      const answer = () => Promise.resolve(respond(200, {}))
      const limit = new ConnectionLimit()
      const server = new VolumeServer(answer, new ByteBudget(), limit, systemClock)
      const listen = server.listen.bind(server)
      server.listen = async (path) => {
        reached.resolve()
        await listening.promise
        return listen(path)
      }
      return server
    },
    readToken: () => token,
    clock: systemClock,
    log,
  })
  await new VolumeRecords(folder, log).load()
  const pod = newPod()
  const parsed = JSON.parse(await vault.tokens(pod)) as { vault: { token: string } }
  const token = decodeServiceAccountToken(parsed.vault.token, 'a token')
  const volume = { id: 'csi-1', targetPath: join(folder, 'mount'), pod, role: ROLE }
  const publishing = volumes.publish(volume, token)
  await reached.promise
  const stopping = volumes.stop()
  listening.resolve()
  await Promise.all([publishing, stopping])
  t.equal(volumes.size, 0)
  await t.rejects(new PodSocket(join(folder, 'mount/vault.sock')).ask('sys/health'))
  await t.rejects(volumes.publish({ ...volume, id: 'csi-2' }, token), { code: 'CANCELLED' })
  t.equal(volumes.size, 0)
})

void test('a record that another driver removes during the start is ignored', async (t) => {
  const folder = tempFolder('rt')
  mkdirSync(join(folder, 's', 'volumes'), { recursive: true })
  symlinkSync('gone', join(folder, 's', 'volumes', `${'0'.repeat(16)}.json`))
  const runtime = await startRuntime(vault, { folder })
  t.teardown(() => runtime.stop())
  t.equal(runtime.runtime.volumes.size, 0)
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
