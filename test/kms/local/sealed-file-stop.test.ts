// What the sealed file holds when a plugin was stopped.
import { existsSync } from 'node:fs'
import { test } from 'tap'

import { eventually } from '../../real/host/eventually.ts'
import { serviceFixture } from '../service-fixture.ts'
import { Node, seed } from './node.ts'

void test('local keys that calls in flight create and learn during a stop are in the file', async (t) => {
  const node = new Node(t)
  const other = await serviceFixture({ transit: node.transit, localKeys: { enabled: true } })
  const foreign = await other.service.encrypt(seed, other.within())
  const plugin = await node.start({ localKeys: { maxUses: 1 } })
  const old = await plugin.service.encrypt(seed, plugin.within())
  const { promise: callsEnd, resolve: endCalls } = Promise.withResolvers<void>()
  const stopped = plugin.stop(callsEnd)
  await eventually('the first write', () => existsSync(node.sealedFile))
  await eventually('its end', () => !existsSync(`${node.sealedFile}.sock`))
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
