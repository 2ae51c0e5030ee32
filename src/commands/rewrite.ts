import { join } from 'node:path'

import { systemClock } from '../time/clock.ts'
import { countStale } from '../verify/stored-keys.ts'
import { listFaults } from '../verify/verdict.ts'
import {
  planRewrite,
  runRewrite,
  type RewriteMethod,
  type RewriteOptions,
  type RewriteResult,
} from '../rewrite/procedure.ts'
import { RewriteState } from '../rewrite/state.ts'
import { formatPlan, formatResult } from '../rewrite/text.ts'
import { StateFile, stateFolder } from '../files/state-file.ts'
import { BridgeError } from '../errors.ts'
import {
  countValue,
  durationValue,
  openCluster,
  readPatterns,
  readPlugins,
  textValue,
  usage,
} from './cli/cluster-options.ts'
import type { OptionValues } from './cli/command.ts'
import { untilInterrupted } from './cli/interruption.ts'
import { Progress } from './cli/progress.ts'
import { checkEtcdOptions, namesEtcd, reportEtcd } from './cli/stored-report.ts'
import { complain, EXIT_FAILED, EXIT_OK, print, type Terminal } from './cli/terminal.ts'

/** Gentle: some of what a small API server takes; 100,000 objects take eight minutes. */
const DEFAULT_RATE = 200
const DEFAULT_PATIENCE_MS = 2 * 60_000

const METHODS: readonly RewriteMethod[] = ['auto', 'patch', 'migration']

/** Rewrites all that is not stored under the current key. */
export async function runRewriteCommand(values: OptionValues, terminal: Terminal): Promise<number> {
  const settings = readSettings(values)
  const patterns = await readPatterns(values)
  checkEtcdOptions(values)
  const state = stateFileOf(values, terminal)
  const servers = await openCluster(values, terminal, systemClock)
  const progress = new Progress({
    stderr: terminal.stderr,
    clock: systemClock,
    what: 'objects dealt with',
  })
  const options: RewriteOptions = {
    servers,
    plugins: readPlugins(values),
    patterns,
    ...settings,
    state,
    demand: { configsMayDiffer: values['configs-may-differ'] === true },
    clock: systemClock,
    onNote: (text) => {
      progress.end()
      complain(terminal, text)
    },
    onProgress: (objects, total) =>
      progress.show(objects, total === 0 ? undefined : objects / total),
  }
  try {
    return await untilInterrupted(async (signal) => {
      const plan = await planRewrite(options, signal)
      for (const { name, why } of plan.discovery.skipped) requireServed(values, name, why, terminal)
      if (values['dry-run'] === true) {
        print(terminal, formatPlan(plan))
        return EXIT_OK
      }
      const result = await runRewrite(options, plan, signal)
      progress.end()
      print(terminal, formatResult(result))
      return await judge(result, values, terminal, signal)
    })
  } catch (error) {
    progress.end()
    throw explainStop(error)
  } finally {
    servers.close()
  }
}

function readSettings(values: OptionValues) {
  const given = textValue(values, 'method') ?? 'auto'
  const method = METHODS.find((each) => each === given)
  if (method === undefined)
    throw usage(`--method: must be auto, patch or migration, not ${JSON.stringify(given)}`)
  return {
    method,
    rate: countValue(values, 'rate') ?? DEFAULT_RATE,
    patienceMs: durationValue(values, 'patience') ?? DEFAULT_PATIENCE_MS,
  }
}

/** By default one for each cluster, so that the state of one is never taken for that of another. */
export function stateFileOf(values: OptionValues, { environment }: Pick<Terminal, 'environment'>) {
  const given = textValue(values, 'state')
  const folder = given === undefined ? stateFolder(environment) : ''
  return (cluster: string) =>
    new StateFile(given ?? join(folder, `rewrite-${cluster}.json`), RewriteState)
}

/** A name that was asked for must be served; one of the EncryptionConfiguration may be of the past. */
function requireServed(values: OptionValues, name: string, why: string, terminal: Terminal): void {
  if (values['resources'] !== undefined) throw usage(`--resources: ${name}: ${why}`)
  complain(terminal, `${name} is passed over: ${why}`)
}

/** Where etcd may be read it has the last word. */
async function judge(
  { refusals, convergence }: RewriteResult,
  values: OptionValues,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  if (!namesEtcd(values)) {
    if (refusals.length > 0) return EXIT_FAILED
    complain(
      terminal,
      'etcd was not looked at; transit-bridge verify proves it, and so does this command with --endpoints',
    )
    return EXIT_OK
  }
  const report = await reportEtcd(values, terminal, signal)
  const stale = countStale(report, new Set(convergence.hashes.values()))
  const isDone = stale === 0 && report.ok
  const faults = [
    ...(stale === 0 ? [] : [`${stale.toLocaleString('en')} under another key`]),
    ...listFaults(report),
  ]
  const verdict = faults.length === 0 ? 'all encrypted with the write key' : faults.join('; ')
  print(terminal, `${report.source}: ${report.objects.toLocaleString('en')} objects; ${verdict}`)
  if (isDone && refusals.length === 0) return EXIT_OK
  complain(
    terminal,
    'not everything is encrypted with the write key; transit-bridge verify lists the rest',
  )
  return EXIT_FAILED
}

function explainStop(thrown: unknown): BridgeError {
  const error = BridgeError.from(thrown)
  if (error.code === 'CANCELLED') {
    return new BridgeError(
      'CANCELLED',
      'stopped before the end; run the same command again to go on',
    )
  }
  if (error.code === 'KUBE_UNREACHABLE' || error.code === 'KUBE_BUSY') {
    return new BridgeError(
      error.code,
      `${error.message}; nothing is lost, run the same command again to go on`,
      { cause: error },
    )
  }
  return error
}
