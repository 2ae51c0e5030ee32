import { join } from 'node:path'

import type { Report } from '../verify/report.ts'
import { systemClock } from '../time/clock.ts'
import { acceptResources, describeAccepted, describeStale, listStale } from '../verify/stale.ts'
import type { EncryptionRule } from '../encryption/document.ts'
import { isCovered } from '../encryption/resource-rules.ts'
import { readGivenFile } from '../encryption/rules-file.ts'
import { listFaults } from '../verify/verdict.ts'
import {
  planRewrite,
  runRewrite,
  type RewriteOptions,
  type RewriteResult,
} from '../rewrite/procedure.ts'
import type { RewriteMethod } from '../rewrite/migrator.ts'
import { RewriteState } from '../rewrite/state.ts'
import { formatPlan, formatResult } from '../rewrite/text.ts'
import { StateFile, stateFolder } from '../files/state-file.ts'
import { BridgeError } from '../errors.ts'
import {
  clusterOptions,
  identifyCluster,
  makeDemand,
  openCluster,
  readPlugins,
} from './cli/options/cluster.ts'
import { defineCommand, type CommandValues } from './cli/command.ts'
import { etcdOptions, namesEtcd, readEtcdAccess } from './cli/options/etcd.ts'
import { choice, countOr, durationOr, flag, text, usageError } from './cli/option.ts'
import {
  listUnproved,
  readAccepted,
  readPatterns,
  requireProof,
  rewriteTargetOptions,
} from './cli/options/resources.ts'
import type { ThisCluster } from '../verify/wrong-cluster.ts'
import { untilInterrupted } from './cli/process/interruption.ts'
import { Progress } from './cli/progress.ts'
import { reportEtcd } from './cli/store-report.ts'
import { warn, EXIT_FAILED, EXIT_OK, print, type Terminal } from './cli/terminal.ts'

/** A low load for a small API server; 100,000 objects take eight minutes. */
const DEFAULT_RATE = 200

const MAX_RATE = 9_999_999

const METHODS = ['auto', 'patch', 'migration'] as const satisfies readonly RewriteMethod[]

const options = {
  ...rewriteTargetOptions,
  method: choice(
    'METHOD',
    METHODS,
    'auto',
    'patch, migration (StorageVersionMigration), or auto: migration where a controller runs it.',
  ),
  rate: countOr('N', MAX_RATE, DEFAULT_RATE, 'Maximum number of objects per second.'),
  patience: durationOr('2m', 'How long a failing request is retried.'),
  state: text(
    'FILE',
    'File that records the progress. Default: a file for this cluster in $XDG_STATE_HOME/transit-bridge.',
  ),
  dryRun: flag('Check everything, count the objects, and change nothing.'),
  ...clusterOptions,
  ...etcdOptions,
}

type RewriteValues = CommandValues<typeof options>

export const rewriteCommand = defineCommand({
  name: 'rewrite',
  usage: [
    '--encryption-config FILE [--dry-run] [OPTIONS]',
    '--resources LIST [--dry-run] [OPTIONS]',
  ],
  description: `
Re-encrypt objects that are stored under an old key or in plaintext. The API
server writes each object again, with a no-op update conditional on uid and
resourceVersion: an object that changes in the meantime is not touched.

It does not start while API servers disagree on the key, because new data could
be rewritten under the old key. If it is interrupted, the same command continues. With the etcd options, it reads etcd at the end to prove the result.`,
  options,
  exitCodes: '0 everything is rewritten, 1 something is not, 2 wrong usage or configuration.',
  examples: [
    '$ transit-bridge rewrite --kubeconfig /etc/kubernetes/admin.conf \\\n      --encryption-config /etc/kubernetes/encryption/config.yaml --dry-run',
  ],
  run: runRewriteCommand,
})

/** Rewrites everything that is not stored under the write key. */
async function runRewriteCommand(values: RewriteValues, terminal: Terminal): Promise<number> {
  const { method, rate, patience, dryRun } = values
  const file = await readGivenFile(values.encryptionConfig)
  const patterns = readPatterns(values, file)
  if (namesEtcd(values)) readEtcdAccess(values)
  const plugins = readPlugins(values)
  const state = stateFileOf(values, terminal)
  const servers = await openCluster(values, terminal, systemClock)
  const progress = new Progress({
    stderr: terminal.stderr,
    clock: systemClock,
    what: 'objects processed',
  })
  const settings: RewriteOptions = {
    servers,
    plugins,
    patterns,
    method,
    rate,
    patienceMs: patience,
    state,
    demand: makeDemand(file, values),
    isVerified: namesEtcd(values),
    clock: systemClock,
    onNote: (note) => {
      progress.end()
      warn(terminal, note)
    },
    onProgress: (objects, total) =>
      progress.show(objects, total === 0 ? undefined : objects / total),
  }
  try {
    if (!dryRun) requireProof(values)
    return await untilInterrupted(async (signal) => {
      const plan = await planRewrite(settings, signal)
      for (const { name, why } of plan.discovery.skipped) requireServed(values, name, why, terminal)
      if (dryRun) {
        print(terminal, formatPlan(plan))
        return EXIT_OK
      }
      const result = await runRewrite(settings, plan, signal)
      progress.end()
      print(terminal, formatResult(result))
      return await judge(
        result,
        { values, patterns, rules: file?.rules, cluster: identifyCluster(servers, plan.cluster) },
        terminal,
        signal,
      )
    })
  } catch (error) {
    progress.end()
    throw explainStop(error)
  } finally {
    servers.close()
  }
}

/** By default one for each cluster, so that the state of one is never mistaken for that of another. */
function stateFileOf(
  { state: given }: RewriteValues,
  { environment }: Pick<Terminal, 'environment'>,
) {
  const folder = given === undefined ? stateFolder(environment) : ''
  return (cluster: string) =>
    new StateFile(given ?? join(folder, `rewrite-${cluster}.json`), RewriteState)
}

/** A resource of --resources must be served; one of the EncryptionConfiguration may no longer exist. */
function requireServed(values: RewriteValues, name: string, why: string, terminal: Terminal): void {
  if (values.resources !== undefined) throw usageError(`--resources: ${name}: ${why}`)
  warn(terminal, `${name} is skipped: ${why}`)
}

interface Judged {
  readonly values: RewriteValues
  readonly patterns: readonly string[]
  /** Of the EncryptionConfiguration. */
  readonly rules: readonly EncryptionRule[] | undefined
  readonly cluster: ThisCluster
}

/** If etcd can be read, it decides. */
async function judge(
  { skipped, refusals, convergence }: RewriteResult,
  { values, patterns, rules, cluster }: Judged,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<number> {
  if (!namesEtcd(values)) {
    const unproved = listUnproved(skipped, values)
    if (unproved.length > 0)
      warn(
        terminal,
        `${unproved.join('; ')}; etcd may hold objects of it under another key: pass --endpoints to read etcd, or --accept with the resources that may stay as they are`,
      )
    if (refusals.length > 0 || unproved.length > 0) return EXIT_FAILED
    warn(
      terminal,
      'etcd was not read; to prove the result, run transit-bridge verify, or this command with --endpoints',
    )
    return EXIT_OK
  }
  const held = await reportEtcd(values, { rules, cluster }, terminal, signal)
  const report = acceptResources(held, readAccepted(values))
  const stale = listStale(report, {
    hashes: convergence.hashes,
    isTarget: (resource) => isCovered({ resources: patterns }, resource),
  })
  const faults = [...describeStale(stale, 'under another key'), ...listFaults(report)]
  const verdict = faults.length === 0 ? describeProof(report) : faults.join('; ')
  print(
    terminal,
    `${report.source}: ${report.objects.toLocaleString('en')} objects read; ${verdict}`,
  )
  for (const line of describeAccepted(held, readAccepted(values))) warn(terminal, line)
  if (faults.length === 0 && refusals.length === 0) return EXIT_OK
  warn(
    terminal,
    'not everything is stored as API servers write it now; transit-bridge verify lists the rest',
  )
  return EXIT_FAILED
}

/** With `identity` first, nothing must be encrypted, so the report says nothing about what still is. */
function describeProof({ resources }: Report): string {
  const required = resources.filter(({ toBeEncrypted }) => toBeEncrypted)
  const count = required.reduce((sum, { objects }) => sum + objects, 0)
  return count === 0
    ? 'none must be encrypted; transit-bridge verify shows which still are'
    : `all ${count.toLocaleString('en')} that must be encrypted are stored as API servers write them now`
}

function explainStop(thrown: unknown): BridgeError {
  const error = BridgeError.from(thrown)
  if (error.code === 'CANCELLED') {
    return new BridgeError('CANCELLED', 'interrupted; run the same command again to continue')
  }
  if (error.code === 'KUBE_UNREACHABLE' || error.code === 'KUBE_BUSY') {
    return new BridgeError(
      error.code,
      `${error.message}; nothing is lost, run the same command again to continue`,
      { cause: error },
    )
  }
  return error
}
