import type { CallContext } from '../call-context.ts'
import type { Clock } from '../time/clock.ts'
import { waitWithin } from '../time/bounded-wait.ts'
import { copyFiles, zeroFiles, type ContentFile } from './volume/content.ts'

/** The files of a volume, and when Vault returned the oldest of them (milliseconds of Clock.monotonic). */
export interface ServedContent {
  readonly files: ContentFile[]
  readonly confirmedAt: number
}

interface Running {
  readonly result: Promise<ServedContent>
  waiters: number
}

/**
 * Runs identical Mounts that arrive at the same time once. Each caller receives copies, which it zeroes. The original
 * is zeroed when the last caller has its copy or has given up.
 */
export class SharedMounts {
  readonly #clock: Clock
  readonly #running = new Map<string, Running>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Throws DEADLINE_EXCEEDED or CANCELLED if the caller gives up; the work continues for the others. */
  async run(
    id: string,
    work: () => Promise<ServedContent>,
    context: CallContext,
  ): Promise<ServedContent> {
    const running = this.#running.get(id) ?? this.#begin(id, work)
    running.waiters += 1
    try {
      const { files, confirmedAt } = await waitWithin(running.result, context, this.#clock, 'vault')
      return { files: copyFiles(files), confirmedAt }
    } finally {
      running.waiters -= 1
      if (running.waiters === 0) zeroWhenUnwanted(running)
    }
  }

  #begin(id: string, work: () => Promise<ServedContent>): Running {
    const result = work().finally(() => this.#running.delete(id))
    const running = { result, waiters: 0 }
    this.#running.set(id, running)
    return running
  }
}

/** Callers can still join until the work ends, so the count is checked then. */
function zeroWhenUnwanted(running: Running): void {
  running.result.then(
    ({ files }) => {
      if (running.waiters === 0) zeroFiles(files)
    },
    () => undefined,
  )
}
