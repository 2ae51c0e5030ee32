import { test } from 'tap'

import { endWhenIdle } from '../../src/commands/cli/process/busy-end.ts'

interface Given {
  readonly busyMs: number
  readonly code: number
  readonly pid?: number
  readonly lookEveryMs?: number
}

/** How a process ends whose threads are busy for a time. */
function endOf({ busyMs, code, pid = 2, lookEveryMs = 10 }: Given) {
  let nowMs = 0
  const ends: string[] = []
  const waiting: (() => void)[] = []
  endWhenIdle(
    {
      pid,
      exit: (given) => ends.push(`exit ${String(given)}`),
      abort: () => ends.push('abort'),
      endBySignal: (signal) => ends.push(signal),
      isBusy: () => nowMs < busyMs,
      now: () => nowMs,
      later: (run) => waiting.push(run),
    },
    code,
  )
  for (let run = waiting.shift(); run !== undefined; run = waiting.shift()) {
    nowMs += lookEveryMs
    run()
  }
  return ends
}

const CASES = [
  ['an idle process exits', { busyMs: 0, code: 0 }, 'exit 0'],
  ['its exit code is kept', { busyMs: 0, code: 143 }, 'exit 143'],
  ['a thread that becomes idle is awaited', { busyMs: 900, code: 0 }, 'exit 0'],
  [
    'without CPU time, a thread is awaited for longer',
    { busyMs: 5_000, code: 0, lookEveryMs: 100 },
    'exit 0',
  ],
  ['a thread that stays busy: SIGTERM, a stop on request', { busyMs: 60_000, code: 0 }, 'SIGTERM'],
  ['a thread that stays busy after a failure: SIGKILL', { busyMs: 60_000, code: 1 }, 'SIGKILL'],
  ['process 1 with a busy thread aborts', { busyMs: 60_000, code: 0, pid: 1 }, 'abort'],
] as const

for (const [name, given, expected] of CASES) {
  void test(`without the right to start a program: ${name}`, (t) => {
    t.strictSame(endOf(given), [expected])
    t.end()
  })
}
