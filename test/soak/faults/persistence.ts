import { eventually } from '../../real/host/eventually.ts'

const PATIENCE = { timeoutMs: 120_000, intervalMs: 200 }

/** Asks OpenBao until it answers, because a fault may keep it from that. */
export async function persist<T>(ask: () => Promise<T>): Promise<T> {
  const { value } = await eventually(
    'an answer of OpenBao',
    async () => ({ value: await ask() }),
    PATIENCE,
  )
  return value
}
