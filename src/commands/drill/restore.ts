import { systemClock } from '../../time/clock.ts'
import { isSilentPlugin, readPlugin } from '../../convergence/plugin-view.ts'
import type { Report } from '../../verify/report.ts'
import { listFaults } from '../../verify/verdict.ts'
import { loadConfig } from '../../config/load.ts'
import { requireSection } from '../../config/section.ts'
import { BridgeError, isVaultError } from '../../errors.ts'
import { readPlugins } from '../cli/options/cluster.ts'
import { defineCommand, type CommandValues } from '../cli/command.ts'
import { etcdOptions, namesEtcd, readEtcdAccess } from '../cli/options/etcd.ts'
import { flag, repeated, requiredText } from '../cli/option.ts'
import { readSnapshot } from './backup.ts'
import { openSourceReader } from '../cli/source-access.ts'
import { judgeRestored, type ReadStore } from '../../verify/wrong-cluster.ts'
import { describeCount } from '../../text/count.ts'
import { escapeControls } from '../../text/one-line.ts'
import { untilInterrupted } from '../cli/process/interruption.ts'
import { reportEtcd, skipHashCheckOption } from '../cli/store-report.ts'
import { EXIT_FAILED, EXIT_OK, print, type Terminal } from '../cli/terminal.ts'

type State = 'ok' | 'to do' | 'not checked'

interface Step {
  readonly what: string
  readonly state: State
  readonly words: string
}

const options = {
  config: requiredText('FILE', "Configuration of the new cluster's plugins."),
  plugin: repeated('URL', 'Address of the admin server of a plugin. Repeat it for each plugin.'),
  skipHashCheck: skipHashCheckOption,
  json: flag('Print one JSON object.'),
  ...etcdOptions,
}

type RestoreValues = CommandValues<typeof options>

export const drillRestoreCommand = defineCommand({
  name: 'drill restore',
  usage: ['SNAPSHOT --config FILE [OPTIONS]'],
  description: `
Show the steps of a restore into a new cluster, and check each one as far as
possible: the Transit key, kms.alsoDecryptClusters, the etcd snapshot, the
plugins, the new etcd. It changes nothing; run it again after each step.`,
  options,
  operand: { name: 'SNAPSHOT' },
  exitCodes:
    '0 every step was checked and is done, 1 a step is not, 2 wrong usage or configuration.',
  examples: ['$ transit-bridge drill restore backup.db --config new-cluster.yaml'],
  run: runDrillRestore,
})

/** Shows the steps of a restore, with each step checked as far as possible. Changes nothing. */
async function runDrillRestore(values: RestoreValues, terminal: Terminal): Promise<number> {
  const [snapshot = ''] = values.operands
  if (namesEtcd(values)) readEtcdAccess(values)
  const config = await loadConfig(values.config, terminal.environment)
  const { clusterId, alsoDecryptClusters } = requireSection(config, 'kms')
  const { mount, key } = config.transit
  let held: Uint8Array | undefined
  const onCluster = (stored: Uint8Array) => (held = stored)
  const reading = await tryToRead(() => readSnapshot(snapshot, { ...values, onCluster }, terminal))
  const steps: readonly Step[] = [
    {
      what: `restore the Transit key ${mount}/${key} from its backup, with all of its versions, and allow the plugin to log in`,
      ...(reading instanceof BridgeError
        ? { state: 'to do', words: reading.message }
        : { state: 'ok', words: `Vault has it, and the plugin can log in` }),
    },
    {
      what: `add the cluster of the etcd snapshot to kms.alsoDecryptClusters (now: ${clusterId}${alsoDecryptClusters.map((id) => `, ${id}`).join('')})`,
      ...judgeClusters(reading),
    },
    { what: `prove that this Vault can decrypt all of ${snapshot}`, ...judgeSnapshot(reading) },
    await judgePlugins(values, terminal),
    {
      what: 'restore the etcd snapshot (etcdutl snapshot restore), start etcd, then the API servers',
      ...(await judgeEtcd(values, snapshotOf(reading, held), terminal)),
    },
  ]
  const ok = steps.every(({ state }) => state === 'ok')
  print(
    terminal,
    values.json
      ? JSON.stringify(
          { at: new Date(systemClock.now()).toISOString(), ok, steps, afterwards: AFTERWARDS },
          null,
          2,
        )
      : [format(steps), summarize(steps), `afterwards: ${AFTERWARDS}`].join('\n'),
  )
  return ok ? EXIT_OK : EXIT_FAILED
}

/** Not a step of the restore: nothing proves that it is done but a verify of the new cluster. */
const AFTERWARDS =
  'rewrite everything under the new cluster id and key (transit-bridge rewrite); when transit-bridge verify finds nothing of the old cluster, remove alsoDecryptClusters'

function summarize(steps: readonly Step[]): string {
  const count = (wanted: State) => steps.filter(({ state }) => state === wanted).length
  if (count('ok') === steps.length) return `ok: all ${String(steps.length)} steps are done`
  return `NOT ok: of ${String(steps.length)} steps, ${String(count('to do'))} to do and ${String(count('not checked'))} not checked`
}

/** What Vault refuses is a step to do; any other error is thrown. */
async function tryToRead(read: () => Promise<Report>): Promise<Report | BridgeError> {
  try {
    return await read()
  } catch (thrown) {
    const error = BridgeError.from(thrown)
    if (isVaultError(error)) return error
    throw error
  }
}

function judgeClusters(reading: Report | BridgeError): Pick<Step, 'state' | 'words'> {
  if (reading instanceof BridgeError)
    return { state: 'not checked', words: 'complete the step before it first' }
  const foreign = faultsOf(reading).find(({ code }) => code === 'CLUSTER_FOREIGN')
  if (foreign !== undefined) return { state: 'to do', words: foreign.why }
  if (reading.seeds === 0)
    return { state: 'not checked', words: 'no object of the etcd snapshot names its cluster' }
  return { state: 'ok', words: 'no object belongs to another cluster' }
}

function judgeSnapshot(reading: Report | BridgeError): Pick<Step, 'state' | 'words'> {
  if (reading instanceof BridgeError)
    return { state: 'not checked', words: 'complete the previous steps first' }
  const objects = describeCount(reading.objects, 'object')
  // What is in plaintext can be restored.
  const faults = listFaults({ ...reading, plain: 0 })
  if (faults.length === 0) {
    const plain = reading.plain.toLocaleString('en')
    const rest = reading.plain === 0 ? '' : `; ${plain} in plaintext, which the rewrite encrypts`
    return { state: 'ok', words: `${objects} read, every encrypted object decrypted${rest}` }
  }
  const [first] = faultsOf(reading)
  const example = first === undefined ? '' : `; ${first.key}: ${first.why}`
  return { state: 'to do', words: `of ${objects}: ${faults.join('; ')}${example}` }
}

function faultsOf({ resources }: Report) {
  return resources.flatMap(({ unreadableKeys, unprovenKeys }) => [
    ...unreadableKeys,
    ...unprovenKeys,
  ])
}

/** A plugin with another cluster id or key belongs to another cluster. */
async function judgePlugins(values: RestoreValues, terminal: Terminal): Promise<Step> {
  const what = 'start the plugins on the new nodes'
  const addresses = readPlugins(values)
  if (addresses.length === 0)
    return { what, state: 'not checked', words: 'pass --plugin URL for each' }
  const keyId = await readKeyId(values.config, terminal)
  if (keyId instanceof BridgeError) return { what, state: 'not checked', words: keyId.message }
  const readings = await Promise.all(addresses.map(readPlugin))
  const faults = readings.flatMap((each) => {
    if (isSilentPlugin(each)) return [each.silence.message]
    if (!each.ready) return [`the plugin at ${each.address}: ${each.message}`]
    if (each.keyId === keyId) return []
    return [
      `the plugin at ${each.address} announces a different key id than ${values.config} (kms.clusterId, transit.key), so it does not belong to the new cluster`,
    ]
  })
  return faults.length === 0
    ? { what, state: 'ok', words: `${String(readings.length)} of ${String(readings.length)} ready` }
    : { what, state: 'to do', words: faults.join('; ') }
}

/** The key id that the plugins of this configuration announce. */
async function readKeyId(config: string, terminal: Terminal): Promise<string | BridgeError> {
  try {
    const access = await openSourceReader(config, 'drill', terminal)
    try {
      return (await access.reader.readKey()).keyId
    } finally {
      await access.close()
    }
  } catch (error) {
    return BridgeError.from(error)
  }
}

function snapshotOf(
  reading: Report | BridgeError,
  cluster: Uint8Array | undefined,
): ReadStore | undefined {
  if (reading instanceof BridgeError || cluster === undefined) return undefined
  return { cluster, revisions: reading.revisions }
}

async function judgeEtcd(
  values: RestoreValues,
  /** The etcd snapshot. */
  held: ReadStore | undefined,
  terminal: Terminal,
): Promise<Pick<Step, 'state' | 'words'>> {
  if (!namesEtcd(values))
    return { state: 'not checked', words: 'pass --endpoints LIST of the new etcd' }
  let restored: Uint8Array | undefined
  try {
    const { objects, gaps, revisions } = await untilInterrupted((signal) =>
      reportEtcd(values, { onCluster: (stored) => (restored = stored) }, terminal, signal),
    )
    if (gaps.length > 0) return { state: 'to do', words: gaps.join('; ') }
    if (held === undefined || restored === undefined)
      return { state: 'not checked', words: 'complete the previous steps first' }
    const { state, words } = judgeRestored({ cluster: restored, revisions }, held)
    return { state, words: `${objects.toLocaleString('en')} objects: ${words}` }
  } catch (thrown) {
    const error = BridgeError.from(thrown)
    // A file of the etcd options says nothing about the new etcd.
    if (error.code === 'HOST_UNAVAILABLE' || error.code === 'USAGE_INVALID') throw error
    return { state: 'to do', words: error.message }
  }
}

function format(steps: readonly Step[]): string {
  const lines = steps.map(
    ({ what, state, words }, index) =>
      `${String(index + 1)}. [${state}] ${what}\n   ${escapeControls(words)}`,
  )
  return lines.join('\n')
}
