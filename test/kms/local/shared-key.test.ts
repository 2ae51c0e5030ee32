// During an outage, the plugins of other nodes must be able to decrypt what an API server writes that has just restarted.
import { existsSync } from 'node:fs'
import { test, type Test } from 'tap'

import { BridgeError } from '../../../src/errors.ts'
import type { Envelope } from '../../../src/seed/envelope.ts'
import { eventually } from '../../real/host/eventually.ts'
import { transitKey } from '../transit-key.ts'
import { HOUR, Node, seed, type Plugin } from './node.ts'

const LOCAL_KEY = 'local-key.transit-bridge.internal'

const wrappedKeyOf = ({ annotations }: Envelope) =>
  Buffer.from(annotations[LOCAL_KEY] ?? []).toString('latin1')

const write = ({ service, within }: Plugin) => service.encrypt(seed, within())
const read = async ({ service, within }: Plugin, stored: Envelope) =>
  (await service.decrypt(stored, within())).equals(seed)

/** The plugin makes a new local key; its API server, which keeps its seed, does not ask for one under it. */
const passDay = ({ clock }: Plugin) => clock.advance(25 * HOUR)

async function startOutage(plugins: readonly Plugin[]): Promise<void> {
  for (const { transit, watch, clock } of plugins) {
    transit.bug = new BridgeError('VAULT_UNREACHABLE', 'scripted outage')
    watch.suspect()
    await clock.advance(5_000)
  }
}

/** Two nodes with one Vault, as after a rotation whose rewrite went through the API server of the first. */
async function twoNodes(t: Test) {
  const node = new Node(t)
  const other = new Node(t, node.transit)
  const [first, second] = [await node.start(), await other.start()]
  const stored = await write(first)
  t.ok(await read(second, stored))
  return { node, first, second, stored }
}

void test('an API server that restarts during an outage writes what those of other nodes read', async (t) => {
  const { first, second, stored } = await twoNodes(t)
  await passDay(first)
  await startOutage([first, second])
  const written = await write(first)
  t.equal(wrappedKeyOf(written), wrappedKeyOf(stored))
  t.ok(await read(second, written))
  const back = await write(second)
  t.equal(wrappedKeyOf(back), wrappedKeyOf(stored), 'what it read, not its own, which has no data')
  t.ok(await read(first, back))
})

void test('when Vault answers, each plugin encrypts with its own newest local key again', async (t) => {
  const { first, second, stored } = await twoNodes(t)
  await passDay(first)
  const online = await write(first)
  t.not(wrappedKeyOf(online), wrappedKeyOf(stored))
  await startOutage([first, second])
  await write(first)
  first.transit.bug = undefined
  await first.clock.advance(10_000)
  t.equal(wrappedKeyOf(await write(first)), wrappedKeyOf(online))
})

void test('a plugin that starts from its sealed file still knows which local key the others know', async (t) => {
  const { node, first, second, stored } = await twoNodes(t)
  await passDay(first)
  await eventually('the file', () => existsSync(node.sealedFile))
  await first.stop()
  await startOutage([second])
  const again = await node.start()
  const written = await write(again)
  t.equal(wrappedKeyOf(written), wrappedKeyOf(stored))
  t.ok(await read(second, written))
})

void test('a check of the own newest local key, as doctor makes it, is no sign that others know that key', async (t) => {
  const { first, second, stored } = await twoNodes(t)
  await passDay(first)
  t.ok(await read(first, await write(first)))
  await startOutage([first, second])
  t.equal(wrappedKeyOf(await write(first)), wrappedKeyOf(stored))
})

void test('data of an older key version is no sign for the announced one, and a refusal leaves no local key to use', async (t) => {
  const { first, second, stored } = await twoNodes(t)
  first.transit.key = transitKey(2)
  for (const { watch, within } of [first, second]) await watch.refresh(within())
  t.ok(await read(first, stored))
  await startOutage([first])
  const written = await write(first)
  t.match(wrappedKeyOf(written), /^vault:v2:/)
  t.equal(written.keyId, first.service.status().keyId)
  first.transit.bug = new BridgeError('VAULT_DENIED', 'scripted refusal')
  first.watch.suspect()
  await first.clock.advance(5_000)
  await t.rejects(write(first), { code: 'VAULT_DENIED' })
})

void test('after a refusal, what was known before it does not count', async (t) => {
  const { first, second, stored } = await twoNodes(t)
  first.transit.bug = new BridgeError('VAULT_DENIED', 'scripted refusal')
  first.watch.suspect()
  await first.clock.advance(5_000)
  first.transit.bug = undefined
  await first.clock.advance(10_000)
  const renewed = await write(first)
  t.not(wrappedKeyOf(renewed), wrappedKeyOf(stored))
  await passDay(first)
  await startOutage([first, second])
  t.equal(wrappedKeyOf(await write(first)), wrappedKeyOf(renewed))
})
