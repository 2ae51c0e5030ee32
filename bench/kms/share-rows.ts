import { load } from '../latency.ts'
import { readProcessorTime } from '../process-figures.ts'
import { milliseconds, type Row } from '../table.ts'
import type { Subjects } from './subjects.ts'

const CALLS = 1_000

/** How the time of a single Decrypt is spent, from the plugin's own histograms for the same calls. */
export async function measureShares({ plugin, calls }: Subjects): Promise<Row[]> {
  const decrypt = calls.get('decrypt')
  if (decrypt === undefined) throw new Error('there is no Decrypt to measure')
  const before = await readSums(plugin)
  const processor = await readProcessorTime(plugin.program.pid)
  const result = await load(1, CALLS, decrypt)
  const busy = (await readProcessorTime(plugin.program.pid)) - processor
  const after = await readSums(plugin)
  const mean = 1000 / result.perSecond
  const inPlugin = ((after.kms - before.kms) / CALLS) * 1000
  const inVault = ((after.vault - before.vault) / CALLS) * 1000
  const part = (what: string, value: number): Row => ({
    what: `  ${what}`,
    value: milliseconds(value),
    ratio: (value / mean).toFixed(2),
  })
  return [
    { what: 'a single Decrypt: mean', value: milliseconds(mean), ratio: '1.00' },
    part('request to Vault and its response', inVault),
    part('checks, encoding, batching in the plugin', inPlugin - inVault),
    part('gRPC on both sides and the socket', mean - inPlugin),
    part('CPU time of the plugin', (busy / CALLS) * 1000),
  ]
}

async function readSums(plugin: Subjects['plugin']): Promise<{ kms: number; vault: number }> {
  // Scrapes within a second get the same text, so wait for the next second.
  await new Promise((resolve) => setTimeout(resolve, 1_100))
  const { text } = await plugin.admin('/metrics')
  const sum = (name: string, label: string) =>
    text
      .split('\n')
      .filter((line) => line.startsWith(`transit_bridge_${name}_sum{`) && line.includes(label))
      .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(' '))), 0)
  return {
    kms: sum('kms_request_duration_seconds', 'method="Decrypt"'),
    vault: sum('vault_request_duration_seconds', 'operation="decrypt"'),
  }
}
