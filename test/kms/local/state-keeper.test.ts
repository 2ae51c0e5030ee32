import { test } from 'tap'

import type { SealedFile } from '../../../src/kms/local/sealed-file.ts'
import { StateKeeper } from '../../../src/kms/local/state-keeper.ts'
import { HandClock, settle } from '../../fakes/clock.ts'

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
  const file: Pick<SealedFile, 'save' | 'remove' | 'release'> = {
    save: (makeState) => {
      asked.saves += 1
      return enqueue(() => makeState() !== undefined)
    },
    remove: () => {
      asked.removals += 1
      return enqueue(() => true)
    },
    release: async () => undefined,
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
