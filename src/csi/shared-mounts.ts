import type { CallContext } from '../call-context.ts'
import type { Clock } from '../time/clock.ts'
import { waitWithin } from '../time/bounded-wait.ts'
import { copyFiles, zeroFiles, type ContentFile } from './volume/content.ts'

interface Running {
  readonly result: Promise<readonly ContentFile[]>
  waiters: number
}

/**
 * Identical Mounts at the same time share one piece of work. Each gets copies, so that each can zero its own; the
 * original is zeroed when the last of them has its copy, or when none is left to take one.
 */
export class SharedMounts {
  readonly #clock: Clock
  readonly #running = new Map<string, Running>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** The work goes on when a caller gives up with DEADLINE_EXCEEDED or CANCELLED. */
  async run(
    id: string,
    work: () => Promise<readonly ContentFile[]>,
    context: CallContext,
  ): Promise<ContentFile[]> {
    const running = this.#running.get(id) ?? this.#begin(id, work)
    running.waiters += 1
    try {
      return copyFiles(await waitWithin(running.result, context, this.#clock, 'vault'))
    } finally {
      running.waiters -= 1
      if (running.waiters === 0) zeroWhenUnwanted(running)
    }
  }

  #begin(id: string, work: () => Promise<readonly ContentFile[]>): Running {
    const result = work().finally(() => this.#running.delete(id))
    const running = { result, waiters: 0 }
    this.#running.set(id, running)
    return running
  }
}

/** Who comes while the work goes on is counted by the time that it ends. */
function zeroWhenUnwanted(running: Running): void {
  running.result.then(
    (files) => {
      if (running.waiters === 0) zeroFiles(files)
    },
    () => undefined,
  )
}
