import { systemClock } from '../../time/clock.ts'
import { DrilledPlugin } from '../../drill/drilled-plugin.ts'
import { runOutageDrill } from '../../drill/outage-drill.ts'
import {
  describePlugin,
  formatRecord,
  makeRecord,
  type OutageSample,
} from '../../drill/outage-record.ts'
import { readTextFile } from '../../files/text-file.ts'
import { clusterAccessOptions, openCluster, readPlugins } from '../cli/options/cluster.ts'
import { defineCommand, type CommandValues } from '../cli/command.ts'
import { durationOr, flag, requiredText, textOr, usageError } from '../cli/option.ts'
import { untilInterrupted } from '../cli/process/interruption.ts'
import { warn, EXIT_FAILED, EXIT_OK, print, type Terminal } from '../cli/terminal.ts'

const DANGER = '--i-know-this-can-stop-the-api-server'
const PATIENCE_MS = 3 * 60_000

const options = {
  plugin: requiredText(
    'URL',
    'Address of the admin server of the plugin, such as http://127.0.0.1:9390',
  ),
  drillToken: requiredText('FILE', 'A copy of admin.drill.tokenFile.'),
  for: durationOr(
    '1m',
    'How long the plugin stays disconnected from Vault; longer than kms.refreshInterval.',
  ),
  namespace: textOr('NAME', 'default', 'Namespace of the Secret that the drill writes.'),
  iKnowThisCanStopTheApiServer: flag('Confirm that you can afford to break this cluster.'),
  json: flag('Print one JSON object.'),
  ...clusterAccessOptions,
}

type OutageValues = CommandValues<typeof options>

export const drillOutageCommand = defineCommand({
  name: 'drill outage',
  usage: [`--plugin URL --drill-token FILE ${DANGER} [OPTIONS]`],
  description: `
Disconnect one plugin from Vault for a while, and record once a second what its
API server does: readiness, writes, reads, whether the plugin reaches Vault, and
how long recovery takes. It runs on the plugin's node and needs admin.drill in the plugin's configuration. Vault
itself and the other nodes are not affected. The result is Markdown.`,
  options,
  exitCodes:
    '0 everything works again, with Vault, and nothing of the drill is left; 1 that is not proved; 2 wrong usage or configuration.',
  examples: [
    `$ transit-bridge drill outage --plugin http://127.0.0.1:9390 \\\n      --api-server https://127.0.0.1:6443 --drill-token drill-token \\\n      --for 4m ${DANGER} > rehearsal.md`,
  ],
  run: runDrillOutage,
})

/** Rehearses an outage of Vault on one node, and records what happened. */
async function runDrillOutage(values: OutageValues, terminal: Terminal): Promise<number> {
  if (!values.iKnowThisCanStopTheApiServer) {
    throw usageError(
      `disconnects a running plugin from Vault, so its API server may become unready and stop writing Secrets; on a cluster you can afford to break, add ${DANGER}`,
    )
  }
  const [plugin = ''] = readPlugins({ plugin: [values.plugin] })
  const seconds = Math.ceil(values.for / 1000)
  const token = await readToken(values.drillToken)
  const servers = await openCluster(values, terminal, systemClock)
  try {
    if (servers.clients.length !== 1)
      throw usageError('needs --api-server URL, the API server that this plugin serves')
    const startedAt = new Date(systemClock.now()).toISOString()
    const drilled = new DrilledPlugin(plugin, token)
    const notes: string[] = []
    const samples = await untilInterrupted((signal) =>
      runOutageDrill(
        {
          client: servers.first,
          namespace: values.namespace,
          seconds,
          patienceMs: PATIENCE_MS,
          begin: () => drilled.disconnect(seconds),
          end: () => drilled.reconnect(),
          pluginState: (stop) => drilled.state(stop),
          clock: systemClock,
          onSample: (sample) => warn(terminal, describeSample(sample)),
          onNote: (note) => {
            notes.push(note)
            warn(terminal, note)
          },
          onStop: () => warn(terminal, 'ending the outage...'),
        },
        signal,
      ),
    )
    const { server } = servers.first
    const record = makeRecord({ server, plugin, startedAt, seconds, samples, notes })
    print(terminal, values.json ? JSON.stringify(record, null, 2) : formatRecord(record))
    return record.ok ? EXIT_OK : EXIT_FAILED
  } finally {
    servers.close()
  }
}

function describeSample({ at, ready, write, read, plugin }: OutageSample): string {
  const words = [
    ready ? 'ready' : 'not ready',
    write ? 'writes' : 'no writes',
    read ? 'reads' : 'no reads',
    describePlugin(plugin),
  ]
  return `${at.toFixed(0)} s: ${words.join(', ')}`
}

async function readToken(file: string): Promise<string> {
  const token = (await readTextFile(file, `--drill-token ${file}`)).trim()
  if (token === '') throw usageError(`--drill-token ${file} is empty`)
  return token
}
