import { join } from 'node:path'

import { systemClock } from '../../time/clock.ts'
import { readClusterUid, type ApiServers } from '../../convergence/api-servers.ts'
import type { BackupReport, NeededVersions } from '../../rotate/needed-versions.ts'
import { number, Rotation, type RotationActions } from '../../rotate/rotation.ts'
import { RotationState } from '../../rotate/state.ts'
import { findCluster } from '../../kube/find-cluster.ts'
import { planRewrite, runRewrite } from '../../rewrite/procedure.ts'
import { RewriteState } from '../../rewrite/state.ts'
import { formatResult } from '../../rewrite/text.ts'
import { StateFile, stateFolder } from '../../files/state-file.ts'
import { BridgeError, isKubeFailure, isOutage } from '../../errors.ts'
import {
  clusterOptions,
  identifyCluster,
  makeDemand,
  openCluster,
  readPlugins,
} from '../cli/options/cluster.ts'
import { defineCommand, type CommandValues } from '../cli/command.ts'
import { etcdOptions, namesEtcd } from '../cli/options/etcd.ts'
import { count, countOr, durationOr, flag, repeated, requiredText, text } from '../cli/option.ts'
import { isCovered } from '../../encryption/resource-rules.ts'
import type { EncryptionFile } from '../../encryption/rules-file.ts'
import { listUnproved, readAccepted, rewriteTargetOptions } from '../cli/options/resources.ts'
import { askAtTerminal, type Ask } from '../cli/confirm.ts'
import { untilInterrupted } from '../cli/process/interruption.ts'
import { openOperatorVault, operatorOptions, type OperatorVault } from '../cli/operator-vault.ts'
import { Progress } from '../cli/progress.ts'
import { formatNeeded, formatRotationPlan } from '../../rotate/text.ts'
import { checkEarly } from './early-checks.ts'
import { raiseVersion } from './raise-version.ts'
import { reportEtcd, reportSnapshot } from '../cli/store-report.ts'
import { warn, EXIT_OK, print, type Terminal } from '../cli/terminal.ts'

const DEFAULT_RATE = 200
const MAX_RATE = 9_999_999
const MAX_VERSION = 9_999_999
const REWRITE_PATIENCE_MS = 5 * 60_000

const options = {
  config: requiredText('FILE', "The plugin's configuration: Vault, key, cluster."),
  ...rewriteTargetOptions,
  backup: repeated(
    'SNAPSHOT',
    'An etcd snapshot that must stay readable. Repeat it for each snapshot.',
  ),
  otherCluster: repeated(
    'SNAPSHOT',
    'An etcd snapshot of another cluster that uses the same key. Repeat it for each cluster.',
  ),
  onlyCluster: flag(
    'Confirm that no other cluster uses this key. If one does, its data under disabled versions becomes unreadable.',
  ),
  skipHashCheck: flag(
    'Accept a --backup or --other-cluster without a checksum: objects may be missing from it.',
  ),
  finish: flag(
    'Do not create a new key version: complete a rotation that Vault or a person began.',
  ),
  plan: flag('Show the steps, and the current one. Change nothing.'),
  rate: countOr('N', MAX_RATE, DEFAULT_RATE, 'Maximum number of objects per second.'),
  patience: durationOr('15m', 'How long to wait for plugins and API servers.'),
  state: text(
    'FOLDER',
    'Folder that records the progress. Default: $XDG_STATE_HOME/transit-bridge',
  ),
  yesRaiseMinDecryptionVersion: count(
    'N',
    MAX_VERSION,
    'Disable the versions older than N without asking, if neither etcd nor a --backup needs them.',
  ),
  ...operatorOptions,
  ...clusterOptions,
  ...etcdOptions,
}

type RotateValues = CommandValues<typeof options>

export const rotateCommand = defineCommand({
  name: 'rotate',
  usage: [
    '--config FILE --encryption-config FILE [--plan] [OPTIONS]',
    '--config FILE --resources LIST [--plan] [OPTIONS]',
  ],
  description: `
Rotate the key completely: check the cluster, create a new key version in Vault
unless there is one, wait until every plugin and API server uses it, rewrite all
objects, verify from etcd, report which key versions are still needed, and, if
you confirm it, disable the older ones. If it is interrupted, the same command
continues.

It needs an operator token that can read, rotate and configure the key; the
plugin's own role cannot. Without the etcd options nothing is proved, and no key
version is disabled.`,
  options,
  exitCodes: '0 the rotation is complete, 1 it is not, 2 wrong usage or configuration.',
  examples: [
    '$ transit-bridge rotate --config /etc/transit-bridge/config.yaml \\\n      --kubeconfig /etc/kubernetes/admin.conf \\\n      --encryption-config /etc/kubernetes/encryption/config.yaml --plan',
  ],
  run: runRotate,
})

interface RotateContext {
  readonly values: RotateValues
  readonly terminal: Terminal
  readonly servers: ApiServers
  readonly vault: OperatorVault
  readonly cluster: string
  readonly folder: string
  readonly encryption: EncryptionFile | undefined
  readonly patterns: readonly string[]
  readonly ask: Ask
  /** Called before the first change. */
  readonly onBegin: () => void
}

/** Rotates the key of a cluster, from the first check to the last version that is no longer needed. */
async function runRotate(
  values: RotateValues,
  terminal: Terminal,
  ask: Ask = askAtTerminal(),
): Promise<number> {
  const target = await checkEarly(values)
  readPlugins(values)
  await findCluster({ ...values, environment: terminal.environment })
  const folder = values.state ?? stateFolder(terminal.environment)
  const vault = await openOperatorVault(values, terminal)
  let isBegun = false
  const onBegin = () => (isBegun = true)
  try {
    await vault.key.requireRights(['rotate', 'config'])
    const servers = await openCluster(values, terminal, systemClock)
    try {
      const cluster = await readClusterUid(servers.first)
      const found = { servers, vault, cluster, folder }
      const context = { values, terminal, ...found, ...target, ask, onBegin }
      return await untilInterrupted((signal) => rotate(context, signal))
    } finally {
      servers.close()
    }
  } catch (error) {
    throw explainStop(error, isBegun)
  } finally {
    await vault.close()
  }
}

async function rotate(context: RotateContext, signal: AbortSignal): Promise<number> {
  const { values, terminal, cluster, folder } = context
  const file = new StateFile(join(folder, `rotate-${cluster}.json`), RotationState)
  const actions = makeActions(context)
  if (values.plan) {
    const state = await readState(context, file)
    print(terminal, formatRotationPlan(state, await actions.readKey(), namesEtcd(values)))
    return EXIT_OK
  }
  // The state is read under the lock: until then, another run may still change or remove it.
  const unlock = await file.lock()
  try {
    const rotation = new Rotation({
      actions,
      state: await readState(context, file),
      file,
      finishOnly: values.finish,
      demand: makeDemand(context.encryption, values),
      isTarget: (resource) => isCovered({ resources: context.patterns }, resource),
      accepted: readAccepted(values),
      patienceMs: values.patience,
      clock: systemClock,
      onStep: (step, words) => warn(terminal, `step ${number(step)}, ${step}: ${words}`),
      onNote: (words) => warn(terminal, words),
    })
    context.onBegin()
    const needed = await rotation.run(signal)
    print(terminal, formatNeeded(needed))
    return EXIT_OK
  } finally {
    unlock()
  }
}

/** The state of an earlier run that did not end, or a new one. Throws STATE_INVALID if it belongs to another cluster or key. */
async function readState(
  { vault, cluster }: RotateContext,
  file: StateFile<typeof RotationState>,
): Promise<RotationState> {
  const { mount, key } = vault.config.transit
  const known = await file.read()
  if (known !== undefined) {
    if (known.cluster === cluster && known.key === `${mount}/${key}`) return known
    throw new BridgeError(
      'STATE_INVALID',
      `the state file ${file.path} belongs to another cluster or key; pass another --state`,
    )
  }
  const { latestVersion } = await vault.key.read()
  return {
    version: 1,
    procedure: 'rotate',
    cluster,
    key: `${mount}/${key}`,
    startedAt: new Date(systemClock.now()).toISOString(),
    step: 'check',
    from: latestVersion,
  }
}

function makeActions(context: RotateContext): RotationActions {
  const { values, terminal, servers, vault, cluster, encryption, ask } = context
  const rules = encryption?.rules
  const { clusterId } = vault.kms
  const plugins = readPlugins(values)
  return {
    readKey: () => vault.key.read(),
    versionsOf: (key) => vault.versionsOf(key),
    rotateKey: () => vault.key.rotate(),
    read: () => servers.read(plugins),
    rewrite: (demand, signal) => rewrite(context, plugins, demand, signal),
    reportEtcd: async (signal) =>
      namesEtcd(values)
        ? reportEtcd(
            values,
            { rules, cluster: identifyCluster(servers, cluster) },
            terminal,
            signal,
          )
        : undefined,
    reportBackups: async (signal) => {
      const reports: BackupReport[] = []
      for (const file of values.backup)
        reports.push({
          file,
          report: await reportSnapshot(file, values, { rules }, terminal, signal),
        })
      // Other clusters have their own rules.
      for (const file of values.otherCluster) {
        const other = { cluster: { otherThan: cluster, clusterId } }
        const report = await reportSnapshot(file, values, other, terminal, signal)
        reports.push({ file, report, isOther: true })
      }
      return reports
    },
    raise: (needed: NeededVersions, signal: AbortSignal) =>
      raiseVersion({
        needed,
        asked: values.yesRaiseMinDecryptionVersion,
        isOnlyCluster: values.onlyCluster,
        terminal,
        key: vault.key,
        ask,
        signal,
      }),
  }
}

async function rewrite(
  { values, terminal, servers, folder, patterns }: RotateContext,
  plugins: readonly string[],
  demand: Parameters<RotationActions['rewrite']>[0],
  signal: AbortSignal,
): Promise<void> {
  const progress = new Progress({
    stderr: terminal.stderr,
    clock: systemClock,
    what: 'objects processed',
  })
  const rewriting = {
    servers,
    plugins,
    patterns,
    method: 'auto',
    rate: values.rate,
    patienceMs: REWRITE_PATIENCE_MS,
    state: (uid: string) => new StateFile(join(folder, `rewrite-${uid}.json`), RewriteState),
    demand,
    isVerified: namesEtcd(values),
    clock: systemClock,
    onNote: (note: string) => {
      progress.end()
      warn(terminal, note)
    },
    onProgress: (objects: number, total: number) =>
      progress.show(objects, total === 0 ? undefined : objects / total),
  } as const
  try {
    const result = await runRewrite(rewriting, await planRewrite(rewriting, signal), signal)
    progress.end()
    warn(terminal, formatResult(result))
    for (const { name, why } of result.skipped) warn(terminal, `${name} is skipped: ${why}`)
    const unproved = listUnproved(result.skipped, values)
    if (unproved.length > 0)
      throw new BridgeError(
        'NOT_FINISHED',
        `${unproved.join('; ')}; etcd may hold objects of it under another key version: pass --endpoints to read etcd, or --accept with the resources that may stay as they are, and run the same command again`,
      )
    if (result.refusals.length > 0)
      throw new BridgeError(
        'NOT_FINISHED',
        'the API server refused to write some objects; fix what is reported above, then run the same command again',
      )
  } finally {
    progress.end()
  }
}

function explainStop(thrown: unknown, isBegun: boolean): BridgeError {
  const error = BridgeError.from(thrown)
  const next = `run the same command again${isBegun ? ' to continue' : ''}`
  if (error.code === 'CANCELLED') return new BridgeError('CANCELLED', `interrupted; ${next}`)
  if (!isKubeFailure(error) && !isOutage(error)) return error
  const words = isBegun ? next : `this run has changed nothing: resolve this, then ${next}`
  return new BridgeError(error.code, `${error.message}; ${words}`, { cause: error })
}
