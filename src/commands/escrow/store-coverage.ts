import type { Proof } from '../../verify/proof.ts'
import { readCoverage, type Coverage } from '../../escrow/reading.ts'
import { systemClock } from '../../time/clock.ts'
import { untilInterrupted } from '../cli/process/interruption.ts'
import { Progress } from '../cli/progress.ts'
import { DEFAULT_ETCD_RATE, openStore, type StoreSource } from '../cli/store-report.ts'
import type { Terminal } from '../cli/terminal.ts'

/** Reads a store with a proof, with a progress display on standard error. */
export async function coverStore(
  source: StoreSource,
  prefix: string,
  proof: Proof,
  terminal: Pick<Terminal, 'stderr'>,
): Promise<Coverage> {
  const { store, gaps } = await openStore(source, terminal)
  const { stderr } = terminal
  const progress = new Progress({ stderr, clock: systemClock, what: 'objects read' })
  const rate = source.kind === 'etcd' ? DEFAULT_ETCD_RATE : undefined
  const onProgress = (objects: number, fraction: number | undefined) =>
    progress.show(objects, fraction)
  try {
    return await untilInterrupted((signal) =>
      readCoverage({ store, prefix, proof, rate, gaps, onProgress, signal }),
    )
  } finally {
    progress.end()
    await store.close()
  }
}
