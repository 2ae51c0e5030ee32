import { join } from 'node:path'
import type { Test } from 'tap'

import { ApiServers } from '../../src/convergence/api-servers.ts'
import { StateFile } from '../../src/files/state-file.ts'
import { planRewrite, runRewrite, type RewriteOptions } from '../../src/rewrite/procedure.ts'
import { RewriteState } from '../../src/rewrite/state.ts'
import { systemClock, type Clock } from '../../src/time/clock.ts'
import { FakeKubeServer } from '../fakes/kube-server.ts'

/** A rewrite of `count` stale Secrets on one API server. */
export async function fixture(t: Test, count = 3, given: Partial<RewriteOptions> = {}) {
  const kube = await FakeKubeServer.start()
  for (let index = 0; index < count; index += 1) kube.add(`s${String(index).padStart(4, '0')}`)
  const access = { server: kube.address, ca: kube.authority.caPem, serverNames: [] }
  const servers = await ApiServers.find({ access, named: [kube.address], clock: systemClock })
  t.teardown(() => {
    servers.close()
    kube.stop()
  })
  const notes: string[] = []
  const folder = t.testdir()
  const options: RewriteOptions = {
    servers,
    plugins: [],
    patterns: ['secrets'],
    method: 'auto',
    patienceMs: 5_000,
    state: (cluster) => new StateFile(join(folder, `${cluster}.json`), RewriteState),
    demand: {},
    isVerified: false,
    clock: systemClock,
    onNote: (text) => notes.push(text),
    onProgress: () => undefined,
    ...given,
  }
  const run = async (signal = new AbortController().signal) =>
    runRewrite(options, await planRewrite(options, signal), signal)
  return { kube, options, notes, run }
}

/** Its time passes only by waiting, and no wait takes any. */
export function skippingClock(): Clock {
  let elapsedMs = 0
  return {
    now: () => Date.now(),
    monotonic: () => elapsedMs,
    after: (milliseconds, run) => {
      elapsedMs += milliseconds
      const timer = setImmediate(run)
      return () => clearImmediate(timer)
    },
  }
}
