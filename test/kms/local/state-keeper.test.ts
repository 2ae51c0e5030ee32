import { test } from 'tap'

import type { OfflineState } from '../../../src/kms/local/sealed-format.ts'
import { StateKeeper, type StateKeeperOptions } from '../../../src/kms/local/state-keeper.ts'
import { HandClock, settle } from '../../fakes/clock.ts'
import { transitKey } from '../transit-key.ts'

/** A file whose requests wait for a slow disk, as a SealedFile does one after another. */
function slowFile() {
  const disk = Promise.withResolvers<void>()
  const asked = { saves: 0, removals: 0 }
  let work: Promise<unknown> = disk.promise
  const enqueue = <T>(job: () => T): Promise<T> => {
    const result = work.then(job)
    work = result
    return result
  }
  const file: StateKeeperOptions['file'] = {
    save: (makeState) => {
      asked.saves += 1
      return enqueue(() => makeState() !== undefined)
    },
    remove: () => {
      asked.removals += 1
      return enqueue(() => true)
    },
    release: async () => undefined,
    isHeldElsewhere: async () => false,
  }
  return { file, asked, disk }
}

void test('a thousand refused calls queue one removal, also while a slow disk is busy', async (t) => {
  const { file, asked, disk } = slowFile()
  const keeper = new StateKeeper({
    file,
    collect: () => undefined,
    offlineForMs: 3_600_000,
    onWritten: () => undefined,
    clock: new HandClock(),
  })
  for (let calls = 0; calls < 1_000; calls += 1) keeper.forget()
  t.same(asked, { saves: 1, removals: 0 })
  disk.resolve()
  await settle()
  t.same(asked, { saves: 1, removals: 1 })
  keeper.forget()
  await settle()
  t.same(asked, { saves: 2, removals: 2 }, 'a later refusal counts again')
})

/** A keeper with a fast disk, and what it does with the file. */
function fastKeeper() {
  const { promise: callsEnd, resolve: endCalls } = Promise.withResolvers<void>()
  const clock = new HandClock()
  const actions: string[] = []
  const plugin: { state: OfflineState | undefined } = {
    state: {
      key: transitKey(1),
      agreedAt: { bootId: '', sinceBootMs: 0, wallMs: 0 },
      localKeys: [],
    },
  }
  const keeper = new StateKeeper({
    file: {
      save: async (makeState) => {
        const isWritten = makeState() !== undefined
        if (isWritten) actions.push('write')
        return isWritten
      },
      remove: async () => {
        actions.push('remove')
        return true
      },
      release: async () => void actions.push('release'),
      isHeldElsewhere: async () => false,
    },
    collect: () => plugin.state,
    offlineForMs: 3_600_000,
    onWritten: () => undefined,
    clock,
  })
  return { keeper, clock, plugin, actions, callsEnd, endCalls }
}

void test('a stop writes at once, and again only what calls in flight have added', async (t) => {
  for (const adds of [true, false]) {
    const { keeper, actions, callsEnd, endCalls } = fastKeeper()
    const stopped = keeper.stop(callsEnd)
    await settle()
    t.same(actions.splice(0), ['write', 'release'], 'a successor can use the file')
    if (adds) keeper.change()
    await settle()
    t.same(actions, [])
    endCalls()
    await stopped
    t.same(actions, adds ? ['write', 'release'] : ['release'])
  }
})

void test('a refusal while calls are finished removes the file, and the end of the own token does not', async (t) => {
  const { keeper, plugin, actions, callsEnd, endCalls } = fastKeeper()
  const stopped = keeper.stop(callsEnd)
  await settle()
  actions.length = 0
  plugin.state = undefined
  keeper.forget()
  await settle()
  t.same(actions.splice(0), ['remove'])
  endCalls()
  await stopped
  t.same(actions.splice(0), ['release'])
  keeper.forget()
  await settle()
  t.same(actions, [])
})

void test('what changed before Vault agreed is written as soon as it agrees', async (t) => {
  const { keeper, clock, plugin, actions } = fastKeeper()
  const { state } = plugin
  plugin.state = undefined
  keeper.change()
  await clock.advance(1_000)
  t.same(actions, [])
  plugin.state = state
  keeper.agree()
  await clock.advance(0)
  t.same(actions, ['write'])
})
