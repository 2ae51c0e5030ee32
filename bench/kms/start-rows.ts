import { rmSync } from 'node:fs'
import { join } from 'node:path'

import { Plugin } from '../../test/real/program/plugin.ts'
import { median } from '../latency.ts'
import { milliseconds, type Row } from '../table.ts'
import { configure, type Subjects } from './subjects.ts'

const STARTS = 10
const MAX_START_MS = 120

/** From exec to the first Status response, as an API server that waits for the socket sees it. */
export async function measureStarts({ vault }: Subjects): Promise<Row[]> {
  const times: number[] = []
  for (let start = 0; start <= STARTS; start += 1) {
    const startedAt = performance.now()
    const fresh = await Plugin.launch(configure(vault))
    await fresh.program.waitForSocket(fresh.socket, { intervalMs: 2 })
    await fresh.client.status()
    // The first start after an installation fills the compile cache.
    if (start > 0) times.push(performance.now() - startedAt)
    await fresh.stop()
    rmSync(join(fresh.folder, 'kms.sock'), { force: true })
  }
  const value = median(times)
  return [
    {
      what: `start to first Status, median of ${String(STARTS)}`,
      value: milliseconds(value),
      target: `<= ${String(MAX_START_MS)} ms`,
      ok: value <= MAX_START_MS,
    },
  ]
}
