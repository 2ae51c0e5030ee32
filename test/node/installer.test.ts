import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer as createHttp2Server } from 'node:http2'
import { createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { test } from 'tap'

import { systemClock } from '../../src/time/clock.ts'
import { BridgeError } from '../../src/errors.ts'
import { createInstallerAdminSources } from '../../src/node/install/installer-admin.ts'
import { createInstaller } from '../../src/node/install/installer.ts'
import type { NodeInstallOutcome } from '../../src/node/install/node-install.ts'
import { startPluginProbe } from '../../src/node/install/plugin-probe.ts'
import { watchSources } from '../../src/node/install/source-watch.ts'
import { createInstallerMetrics } from '../../src/telemetry/metrics/roles.ts'
import { HandClock } from '../fakes/clock.ts'
import { memoryLog } from '../fakes/log.ts'
import { eventually } from '../real/host/eventually.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

const DONE: NodeInstallOutcome = { changed: [], socket: '/run/kms.sock', tokenExpiresAt: 5_000_000 }

function setUp(act: () => Promise<NodeInstallOutcome>) {
  const clock = new HandClock()
  const { log, lines } = memoryLog()
  const metrics = createInstallerMetrics('test')
  const options = { act, verb: 'written', intervalMs: 30_000, clock, log, metrics } as const
  return { clock, lines, metrics, installer: createInstaller(options) }
}

void test('the installer acts immediately, at every interval and on demand, until it is stopped', async (t) => {
  let acts = 0
  const { installer, clock } = setUp(async () => {
    acts += 1
    return DONE
  })
  await installer.start()
  t.equal(acts, 1)
  await clock.advance(61_000)
  t.equal(acts, 3)
  await installer.act()
  t.equal(acts, 4)
  await installer.stop()
  await clock.advance(61_000)
  await installer.act()
  t.equal(acts, 4)
})

void test('a failure is logged once for each reason, and retried', async (t) => {
  let fault: BridgeError | undefined = new BridgeError('HOST_FAILED', 'the disk is full')
  const { installer, clock, lines, metrics } = setUp(async () => {
    if (fault !== undefined) throw fault
    return { ...DONE, changed: ['/etc/tb/token'] }
  })
  await installer.start()
  await clock.advance(31_000)
  t.match(installer.state, { kind: 'failed', code: 'HOST_FAILED', message: 'the disk is full' })
  fault = new BridgeError('IDENTITY_INVALID', 'the token expired')
  await clock.advance(30_000)
  fault = undefined
  await clock.advance(30_000)
  t.same(
    lines.map(({ msg }) => msg),
    [
      'the disk is full',
      'the token expired',
      'the host is in its desired state again',
      '/etc/tb/token: written',
    ],
  )
  t.match(await metrics.registry.metrics(), /identity_token_expiry_timestamp_seconds 5000/)
})

void test('the installer is ready when the plugin has its desired state, and reports why it is not', async (t) => {
  let fault: BridgeError | undefined
  const { installer, clock, metrics } = setUp(async () => {
    if (fault !== undefined) throw fault
    return DONE
  })
  let accepts = false
  const pluginAnswers = () => accepts
  const common = { installer, pluginAnswers, clock, metrics }
  const installing = createInstallerAdminSources({ ...common, desired: 'running' })
  const removing = createInstallerAdminSources({ ...common, desired: 'removed' })
  t.match(installing.readiness(), { ready: false, reason: 'starting' })
  await installer.act()
  t.match(installing.readiness(), { ready: false, message: /nothing serves \/run\/kms.sock yet/ })
  t.match(removing.readiness(), { ready: true })
  accepts = true
  t.match(installing.readiness(), {
    ready: true,
    details: { tokenExpiresAt: '1970-01-01T01:23:20.000Z' },
  })
  t.match(removing.readiness(), { ready: false, message: /still serves/ })
  fault = new BridgeError('HOST_FAILED', 'the disk is full')
  await installer.act()
  t.match(installing.readiness(), { ready: false, reason: 'HOST_FAILED' })
  t.equal(installing.isServing(), true, 'but liveness does not fail')
  const { body } = await installing.renderMetrics({ format: 'text', gzip: false })
  t.match(body.toString(), /identity_token/)
})

void test('the probe distinguishes a plugin that answers from one that does not', async (t) => {
  const socket = join(tempFolder('probe'), 'kms.sock')
  const probe = startPluginProbe(async () => socket, systemClock)
  t.teardown(() => probe.stop())
  t.equal(probe.answers, false)
  const accepted = new Set<Socket>()
  const silent = createServer((client) => void accepted.add(client)).listen(socket)
  await eventually('the probe to connect twice', () => accepted.size > 1)
  t.equal(probe.answers, false, 'a process that accepts and says nothing does not answer')
  for (const client of accepted) client.destroy()
  silent.close()
  await once(silent, 'close')
  const server = createHttp2Server().listen(socket)
  await eventually('the probe to see the server', () => probe.answers)
  server.close()
  await eventually('the probe to see the end', () => !probe.answers)
})

void test('a change of a source is noticed; a folder that cannot be watched is not an error', async (t) => {
  const folder = t.testdir({ token: 'old' })
  let changes = 0
  const files = [join(folder, 'token'), '/nowhere/at/all']
  const unwatch = watchSources(files, () => void (changes += 1))
  t.teardown(unwatch)
  writeFileSync(join(folder, 'token'), 'new')
  await eventually('the change to be noticed', () => changes > 0)
})
