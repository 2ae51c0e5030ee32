// What the log and Status say when local keys stop helping.
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { test, type Test } from 'tap'

import { BridgeError } from '../../../src/errors.ts'
import { OfflineReport } from '../../../src/kms/local/offline-report.ts'
import { formatSealedFile } from '../../../src/kms/local/sealed-format.ts'
import { eventually } from '../../real/host/eventually.ts'
import { serviceFixture } from '../service-fixture.ts'
import { HOUR, Node, outageAfterRun, OWNER, type Plugin, warnings } from './node.ts'
import { readSealedFile } from './read-sealed-file.ts'

const MINUTE = 60_000
const outage = new BridgeError('VAULT_UNREACHABLE', 'scripted outage')
const refusal = new BridgeError('VAULT_DENIED', 'scripted refusal')

/** What the log said since the last call, apart from information. */
function newProblems({ lines }: Plugin): readonly string[] {
  const found = lines.filter(({ level }) => level !== 'info')
  lines.length = 0
  return found.map(({ level, msg }) => `${level}: ${msg}`)
}

/** A plugin that Vault last answered at 00:00:00. */
async function startAndStopVault(bug = outage): Promise<Plugin> {
  const plugin = await serviceFixture({ localKeys: { enabled: true } })
  plugin.transit.bug = bug
  plugin.watch.suspect()
  return plugin
}

void test('the end of offlineFor and the end of local keys are logged once, without a call, and Status says so', async (t) => {
  const plugin = await startAndStopVault()
  const { clock, service } = plugin
  await clock.advance(4 * HOUR - 10_001)
  t.same(newProblems(plugin), [])
  t.equal(service.status().healthz, 'ok')
  await clock.advance(1)
  const note =
    'local keys no longer encrypt, because Vault has not agreed for longer than kms.localKeys.offlineFor; they decrypt until 05:00:00 UTC'
  t.same(newProblems(plugin), [`warn: ${note}; Vault last answered 4 h ago`])
  t.equal(service.status().healthz, `scripted outage; ${note}`)
  await clock.advance(HOUR - 1)
  t.same(newProblems(plugin), [])
  await clock.advance(1)
  t.same(newProblems(plugin), [
    'error: zeroing 1 local key: Vault last answered 5 h ago, longer than 1.25 times kms.localKeys.offlineFor; only Vault can decrypt now',
  ])
  const gone =
    'local keys are gone, because Vault has not agreed for longer than 1.25 times kms.localKeys.offlineFor; only Vault can decrypt now'
  t.equal(service.status().healthz, `scripted outage; ${gone}`)
  await clock.advance(20 * HOUR)
  t.same(newProblems(plugin), [])
  plugin.transit.bug = refusal
  await clock.advance(10_000)
  t.equal(service.status().healthz, 'scripted refusal')
  plugin.transit.bug = undefined
  await clock.advance(10_000)
  t.equal(service.status().healthz, 'ok')
  plugin.transit.bug = outage
  await clock.advance(10 * HOUR)
  t.equal(newProblems(plugin).length, 2, 'and again in the next outage')
})

void test('a refusal is logged once as the end of local keys', async (t) => {
  const plugin = await startAndStopVault(refusal)
  await plugin.clock.advance(60_000)
  t.same(newProblems(plugin), [
    'error: zeroing 1 local key: Vault refused; only Vault can decrypt now',
  ])
  t.equal(plugin.service.status().healthz, 'scripted refusal')
})

void test('the removal of the sealed file is named', async (t) => {
  for (const bug of [outage, refusal]) {
    const node = new Node(t)
    const plugin = await node.start({ localKeys: { offlineForMs: MINUTE } })
    await eventually('the file', () => existsSync(node.sealedFile))
    node.stopVault(bug)
    plugin.watch.suspect()
    await plugin.clock.advance(2 * MINUTE)
    const { msg } = plugin.lines.find(({ level }) => level === 'error') ?? {}
    const start = `zeroing 1 local key and removing the sealed file ${node.sealedFile}: Vault `
    t.equal(msg?.slice(0, start.length), start)
  }
})

void test('a plugin that had no local keys reports no end of them', async (t) => {
  for (const enabled of [true, false])
    for (const bug of [outage, refusal]) {
      const plugin = await serviceFixture({
        localKeys: { enabled, offlineForMs: MINUTE },
        unreached: true,
      })
      plugin.transit.bug = bug
      plugin.watch.start()
      await plugin.clock.advance(10 * MINUTE)
      t.same(newProblems(plugin), [])
      t.equal(plugin.service.status().healthz, bug.message)
    }
})

void test('thousands of local keys are counted as verify counts them', (t) => {
  const lines: string[] = []
  const add = (line: string) => void lines.push(line)
  const report = new OfflineReport({
    limit: { encryptLeftMs: HOUR, decryptLeftMs: HOUR, ageMs: HOUR },
    count: () => 4_096,
    sealedFile: undefined,
    clock: { now: () => 0 },
    log: { info: add, warn: add, error: add },
  })
  report.restore()
  report.end({ why: 'refusal', ageMs: HOUR })
  t.match(lines, [
    /^4,096 local keys restored from the sealed file; /,
    /^zeroing 4,096 local keys: Vault refused; /,
  ])
  t.end()
})

/** Makes the sealed file look as if Vault had last answered so long ago. */
function age(node: Node, ms: number): void {
  const state = readSealedFile(node, OWNER)
  const agreedAt = { ...state.agreedAt, sinceBootMs: state.agreedAt.sinceBootMs - ms }
  const nodeKey = readFileSync(node.nodeKeyFile)
  writeFileSync(node.sealedFile, formatSealedFile({ ...state, agreedAt }, OWNER, nodeKey))
}

async function restartAfter(t: Test, ms: number): Promise<Plugin> {
  const { node } = await outageAfterRun(t)
  age(node, ms)
  return node.start()
}

void test('a start after offlineFor warns that the local keys only decrypt, and until when', async (t) => {
  const plugin = await restartAfter(t, 4.5 * HOUR)
  t.match(warnings(plugin), [
    /^1 local key restored from the sealed file; Vault last answered 4 h ago, longer than kms\.localKeys\.offlineFor, so they only decrypt, until 00:(30:0|29:)\d+ UTC$/,
  ])
  t.match(
    plugin.service.status().healthz,
    /^scripted outage; local keys no longer encrypt, because .* they decrypt until 00:/,
  )
  newProblems(plugin)
  await plugin.clock.advance(HOUR)
  t.match(newProblems(plugin), [/^error: zeroing 1 local key and removing the sealed file /])
})

void test('a start within offlineFor does not warn', async (t) => {
  const plugin = await restartAfter(t, 3.5 * HOUR)
  t.same(warnings(plugin), [])
  t.match(
    plugin.lines.map(({ msg }) => msg),
    ['1 local key restored from the sealed file; Vault last answered 3 h ago'],
  )
})

void test('a start without Vault and without its sealed file says so, once', async (t) => {
  const { node } = await outageAfterRun(t)
  rmSync(node.sealedFile)
  const plugin = await node.start()
  await plugin.clock.advance(60_000)
  t.same(warnings(plugin), [
    `kms.localKeys.sealedFile: there is no sealed file at ${node.sealedFile}, so this plugin needs Vault to start; if this is not its first start, the file was removed: after a refusal by Vault, at the end of kms.localKeys.offlineFor, or by a person`,
  ])
})

void test('a first start with Vault, and an outage after it, say nothing of a sealed file', async (t) => {
  const node = new Node(t)
  const plugin = await node.start()
  node.stopVault()
  plugin.watch.suspect()
  await plugin.clock.advance(60_000)
  t.same(warnings(plugin), [])
})
