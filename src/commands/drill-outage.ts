import { systemClock } from '../time/clock.ts'
import { askAdmin } from '../admin/client.ts'
import { runOutageDrill } from '../drill/outage-drill.ts'
import { formatRecord, makeRecord } from '../drill/outage-record.ts'
import { BridgeError } from '../errors.ts'
import { readTextFile } from '../files/text-file.ts'
import { durationValue, openCluster, readPlugins, textValue, usage } from './cli/cluster-options.ts'
import { requireValue, type OptionValues } from './cli/command.ts'
import { untilInterrupted } from './cli/interruption.ts'
import { complain, EXIT_FAILED, EXIT_OK, print, type Terminal } from './cli/terminal.ts'

const DANGER = 'i-know-this-can-stop-the-api-server'
const PATIENCE_MS = 3 * 60_000

/** Rehearses an outage of Vault on one node, and writes down what it did. */
export async function runDrillOutage(values: OptionValues, terminal: Terminal): Promise<number> {
  if (values[DANGER] !== true) {
    throw usage(
      `drill outage takes Vault away from a running plugin: its API server may become not ready and stop writing Secrets; on a cluster where that may be, add --${DANGER}`,
    )
  }
  const [plugin, ...others] = readPlugins(values)
  if (plugin === undefined || others.length > 0) throw usage('drill outage: needs one --plugin URL')
  const seconds = Math.ceil((durationValue(values, 'for') ?? 60_000) / 1000)
  const token = await readToken(requireValue(values, 'drill-token'))
  const servers = await openCluster(values, terminal, systemClock)
  try {
    if (servers.clients.length !== 1)
      throw usage('drill outage: needs --api-server URL, the one that this plugin serves')
    const startedAt = new Date(systemClock.now()).toISOString()
    const call = (method: 'POST' | 'DELETE', query: string) =>
      callSwitch(plugin, token, method, query)
    const samples = await untilInterrupted((signal) =>
      runOutageDrill(
        {
          client: servers.first,
          namespace: textValue(values, 'namespace') ?? 'default',
          seconds,
          patienceMs: PATIENCE_MS,
          begin: () => call('POST', `?seconds=${String(seconds)}`),
          end: () => call('DELETE', ''),
          clock: systemClock,
          onSample: ({ at, ready, write, read }) => {
            const words = [
              ready ? 'ready' : 'not ready',
              write ? 'writes' : 'no writes',
              read ? 'reads' : 'no reads',
            ]
            complain(terminal, `${at.toFixed(0)} s: ${words.join(', ')}`)
          },
        },
        signal,
      ),
    )
    const record = makeRecord({ server: servers.first.server, plugin, startedAt, seconds, samples })
    print(
      terminal,
      values['json'] === true ? JSON.stringify(record, null, 2) : formatRecord(record),
    )
    return record.recovered ? EXIT_OK : EXIT_FAILED
  } finally {
    servers.close()
  }
}

async function callSwitch(plugin: string, token: string, method: 'POST' | 'DELETE', query: string) {
  const headers = { authorization: `Bearer ${token}` }
  const { status, text } = await askAdmin(plugin, `/drill/outage${query}`, { method, headers })
  if (status === 200) return
  const message =
    status === 404
      ? `the plugin at ${plugin} does not allow drills; set admin.drill: {tokenFile: FILE} and restart it`
      : `the plugin at ${plugin} refuses the drill: ${text.trim()}`
  throw new BridgeError('USAGE_INVALID', message)
}

async function readToken(file: string): Promise<string> {
  return (await readTextFile(file, `--drill-token ${file}`)).trim()
}
