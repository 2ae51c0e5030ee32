import { join } from 'node:path'

import { systemClock } from '../time/clock.ts'
import { readClusterUid, type ApiServers } from '../convergence/api-servers.ts'
import { number, Rotation, type NeededVersions, type RotationActions } from '../rotate/rotation.ts'
import { RotationState } from '../rotate/state.ts'
import { planRewrite, runRewrite } from '../rewrite/procedure.ts'
import { RewriteState } from '../rewrite/state.ts'
import { formatResult } from '../rewrite/text.ts'
import { StateFile, stateFolder } from '../files/state-file.ts'
import { BridgeError, isKubeFailure } from '../errors.ts'
import {
  countValue,
  durationValue,
  openCluster,
  readPatterns,
  readPlugins,
  textValue,
} from './cli/cluster-options.ts'
import { listValues, type OptionValues } from './cli/command.ts'
import { askAtTerminal, type Ask } from './cli/confirm.ts'
import { untilInterrupted } from './cli/interruption.ts'
import { openOperatorVault, type OperatorVault } from './cli/operator-vault.ts'
import { Progress } from './cli/progress.ts'
import { formatNeeded, formatRotationPlan } from '../rotate/text.ts'
import { raiseVersion } from './raise-version.ts'
import { checkEtcdOptions, namesEtcd, reportEtcd, reportSnapshot } from './cli/stored-report.ts'
import { complain, EXIT_OK, print, type Terminal } from './cli/terminal.ts'

const DEFAULT_RATE = 200
const DEFAULT_PATIENCE_MS = 15 * 60_000
const REWRITE_PATIENCE_MS = 5 * 60_000

interface Scene {
  readonly values: OptionValues
  readonly terminal: Terminal
  readonly servers: ApiServers
  readonly vault: OperatorVault
  readonly cluster: string
  readonly folder: string
  readonly patterns: readonly string[]
  readonly ask: Ask
}

/** Rotates the key of a cluster, from the first check to the last version that is no longer needed. */
export async function runRotate(
  values: OptionValues,
  terminal: Terminal,
  ask: Ask = askAtTerminal(),
): Promise<number> {
  const patterns = await readPatterns(values)
  checkEtcdOptions(values)
  countValue(values, 'yes-raise-min-decryption-version')
  const given = textValue(values, 'state')
  const folder = given ?? stateFolder(terminal.environment)
  const vault = await openOperatorVault(values, terminal)
  try {
    await vault.key.requireRights(['rotate', 'config'])
    const servers = await openCluster(values, terminal, systemClock)
    try {
      const cluster = await readClusterUid(servers.first)
      const scene = { values, terminal, servers, vault, cluster, folder, patterns, ask }
      return await untilInterrupted((signal) => rotate(scene, signal))
    } finally {
      servers.close()
    }
  } catch (error) {
    throw explainStop(error)
  } finally {
    await vault.close()
  }
}

async function rotate(scene: Scene, signal: AbortSignal): Promise<number> {
  const { values, terminal, vault, cluster, folder } = scene
  const file = new StateFile(join(folder, `rotate-${cluster}.json`), RotationState)
  const { mount, key } = vault.config.transit
  const known = await file.read()
  if (known !== undefined && (known.cluster !== cluster || known.key !== `${mount}/${key}`)) {
    throw new BridgeError(
      'STATE_INVALID',
      `the state file ${file.path} is of another cluster or key; give another --state`,
    )
  }
  const actions = makeActions(scene)
  const state = known ?? (await beginState(scene))
  if (values['plan'] === true) {
    print(terminal, formatRotationPlan(state, await actions.readKey(), namesEtcd(values)))
    return EXIT_OK
  }
  const unlock = await file.lock()
  try {
    const rotation = new Rotation({
      actions,
      state,
      file,
      finishOnly: values['finish'] === true,
      configsMayDiffer: values['configs-may-differ'] === true,
      patienceMs: durationValue(values, 'patience') ?? DEFAULT_PATIENCE_MS,
      clock: systemClock,
      onStep: (step, words) => complain(terminal, `step ${number(step)}, ${step}: ${words}`),
      onNote: (words) => complain(terminal, words),
    })
    const needed = await rotation.run(signal)
    print(terminal, formatNeeded(needed))
    return EXIT_OK
  } finally {
    await unlock()
  }
}

async function beginState({ vault, cluster }: Scene): Promise<RotationState> {
  const { mount, key } = vault.config.transit
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

function makeActions(scene: Scene): RotationActions {
  const { values, terminal, servers, vault, ask } = scene
  const plugins = readPlugins(values)
  return {
    readKey: () => vault.key.read(),
    versionsOf: (key) => vault.versionsOf(key),
    rotateKey: () => vault.key.rotate(),
    read: () => servers.read(plugins),
    rewrite: (demand, signal) => rewrite(scene, plugins, demand, signal),
    reportEtcd: async (signal) =>
      namesEtcd(values) ? reportEtcd(values, terminal, signal) : undefined,
    reportBackups: async (signal) => {
      const reports = []
      for (const file of listValues(values, 'backup'))
        reports.push({ file, report: await reportSnapshot(file, values, terminal, signal) })
      return reports
    },
    raise: (needed: NeededVersions) =>
      raiseVersion({ needed, values, terminal, key: vault.key, ask }),
  }
}

async function rewrite(
  { values, terminal, servers, folder, patterns }: Scene,
  plugins: readonly string[],
  demand: Parameters<RotationActions['rewrite']>[0],
  signal: AbortSignal,
): Promise<void> {
  const progress = new Progress({
    stderr: terminal.stderr,
    clock: systemClock,
    what: 'objects dealt with',
  })
  const options = {
    servers,
    plugins,
    patterns,
    method: 'auto',
    rate: countValue(values, 'rate') ?? DEFAULT_RATE,
    patienceMs: REWRITE_PATIENCE_MS,
    state: (uid: string) => new StateFile(join(folder, `rewrite-${uid}.json`), RewriteState),
    demand,
    clock: systemClock,
    onNote: (text: string) => {
      progress.end()
      complain(terminal, text)
    },
    onProgress: (objects: number, total: number) =>
      progress.show(objects, total === 0 ? undefined : objects / total),
  } as const
  try {
    const result = await runRewrite(options, await planRewrite(options, signal), signal)
    progress.end()
    complain(terminal, formatResult(result))
    if (result.refusals.length > 0)
      throw new BridgeError(
        'NOT_FINISHED',
        'the API server refuses to write some objects; mend what it names, then run the same command again',
      )
  } finally {
    progress.end()
  }
}

function explainStop(thrown: unknown): BridgeError {
  const error = BridgeError.from(thrown)
  if (error.code === 'CANCELLED')
    return new BridgeError(
      'CANCELLED',
      'stopped before the end; run the same command again to go on',
    )
  if (isKubeFailure(error))
    return new BridgeError(error.code, `${error.message}; run the same command again to go on`, {
      cause: error,
    })
  return error
}
