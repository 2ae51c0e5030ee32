// What the sealed file holds when a plugin was stopped.
import { existsSync } from 'node:fs'
import { test, type Test } from 'tap'

import { eventually } from '../../real/host/eventually.ts'
import { serviceFixture } from '../service-fixture.ts'
import { Node, seed, warnings } from './node.ts'

/** A plugin that waits for the end of calls during its stop, after its first write, and what another node encrypted. */
async function stoppingPlugin(t: Test) {
  const node = new Node(t)
  const other = await serviceFixture({ transit: node.transit, localKeys: { enabled: true } })
  const foreign = await other.service.encrypt(seed, other.within())
  const plugin = await node.start({ localKeys: { maxUses: 1 } })
  const old = await plugin.service.encrypt(seed, plugin.within())
  const { promise: callsEnd, resolve: endCalls } = Promise.withResolvers<void>()
  const stopped = plugin.stop(callsEnd)
  await eventually('the first write', () => existsSync(node.sealedFile))
  await eventually('its end', () => !existsSync(`${node.sealedFile}.sock`))
  return { node, plugin, foreign, old, endCalls, stopped }
}

void test('local keys that calls in flight create and learn during a stop are in the file', async (t) => {
  const { node, plugin, foreign, old, endCalls, stopped } = await stoppingPlugin(t)
  t.same(await plugin.service.decrypt(foreign, plugin.within()), seed)
  // The first call uses the local key that is due, and has another one created.
  await plugin.service.encrypt(seed, plugin.within())
  await plugin.clock.advance(0)
  const own = await plugin.service.encrypt(seed, plugin.within())
  t.notSame(own.annotations, old.annotations, 'another local key')
  endCalls()
  await stopped
  node.stopVault()
  const next = await node.start()
  for (const envelope of [foreign, own])
    t.same(await next.service.decrypt(envelope, next.within()), seed)
})

void test('a plugin that stops leaves the file to a successor without a warning', async (t) => {
  const { node, plugin, foreign, endCalls, stopped } = await stoppingPlugin(t)
  const next = await node.start()
  t.same(await plugin.service.decrypt(foreign, plugin.within()), seed)
  const before = plugin.sealedFileWrites
  endCalls()
  await stopped
  t.equal(plugin.sealedFileWrites, before)
  t.same([plugin, next].flatMap(warnings), [])
})
