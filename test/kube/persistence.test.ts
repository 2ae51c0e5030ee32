import { test } from 'tap'

import { BridgeError } from '../../src/errors.ts'
import type { KubeClient } from '../../src/kube/client.ts'
import { Persistence } from '../../src/kube/persistence.ts'
import { HandClock } from '../fakes/clock.ts'

void test('each of several requests that fail together is sent to every API server in turn', async (t) => {
  const clock = new HandClock()
  const clients = ['a', 'b', 'c'].map((server) => ({ server }) as KubeClient)
  const persistence = new Persistence({
    clients,
    clock,
    patienceMs: 60_000,
    onTrouble: () => undefined,
  })
  const { signal } = new AbortController()
  const asked: string[][] = [[], []]
  const runs = asked.map((servers) =>
    persistence.run(async ({ server }) => {
      servers.push(server)
      if (servers.length < 6) throw new BridgeError('KUBE_BUSY', 'scripted')
    }, signal),
  )
  await clock.advance(60_000)
  await Promise.all(runs)
  t.same(asked, [
    ['a', 'b', 'c', 'a', 'b', 'c'],
    ['a', 'b', 'c', 'a', 'b', 'c'],
  ])
})
