import { systemClock } from '../time/clock.ts'
import { loadConfig } from '../config/load.ts'
import { readClusterUid, type ApiServers } from '../convergence/api-servers.ts'
import { BridgeError, isRefusal, isVaultSilent, type ErrorCode } from '../errors.ts'
import type { Report } from '../verify/report.ts'
import { makeClusterStatus } from '../status/cluster-status.ts'
import { formatStatus } from '../status/text.ts'
import { readGivenFile, type EncryptionFile } from '../encryption/rules-file.ts'
import {
  clusterOptions,
  identifyCluster,
  makeDemand,
  openCluster,
  readPlugins,
} from './cli/options/cluster.ts'
import { defineCommand, type CommandValues } from './cli/command.ts'
import { etcdOptions, namesEtcd, readEtcdAccess } from './cli/options/etcd.ts'
import { duration, flag, text } from './cli/option.ts'
import { untilInterrupted } from './cli/process/interruption.ts'
import { openOperatorVault, operatorOptions } from './cli/operator-vault.ts'
import { reportEtcd } from './cli/store-report.ts'
import { EXIT_FAILED, EXIT_OK, print, type Terminal } from './cli/terminal.ts'

const options = {
  config: text('FILE', "The plugin's configuration, to read the key from Vault as well."),
  rotateEvery: duration(
    'Intended rotation interval, such as 90d, if Vault does not rotate the key.',
  ),
  encryptionConfig: text('FILE', "The API server's EncryptionConfiguration."),
  json: flag('Print one JSON object.'),
  ...operatorOptions,
  ...clusterOptions,
  ...etcdOptions,
}

type StatusValues = CommandValues<typeof options>

export const statusCommand = defineCommand({
  name: 'status',
  usage: ['[--config FILE] [OPTIONS]'],
  description: `
Show the state of the cluster's encryption at a glance: plugins and API servers
with health, key, key version and token lifetime; the key in Vault and when its
next rotation is due; and, with the etcd options, the share of stored objects
under each key version.`,
  options,
  exitCodes: '0 no problems found, 1 problems found, 2 wrong usage or configuration.',
  examples: [
    '$ transit-bridge status --kubeconfig /etc/kubernetes/admin.conf \\\n      --plugin http://192.0.2.10:9390 --plugin http://192.0.2.11:9390',
  ],
  run: runStatus,
})

/** Shows the state of a cluster's encryption. Changes nothing. */
async function runStatus(values: StatusValues, terminal: Terminal): Promise<number> {
  const { rotateEvery, json } = values
  const plugins = readPlugins(values)
  const file = await readGivenFile(values.encryptionConfig)
  if (namesEtcd(values)) readEtcdAccess(values)
  if (values.config !== undefined) await loadConfig(values.config, terminal.environment)
  const servers = await openCluster(values, terminal, systemClock)
  try {
    const [reading, key, report] = await Promise.all([
      servers.read(plugins),
      orFault(readKey(values, terminal)),
      orFault(readStored(values, file, servers, terminal)),
    ])
    const unread = [
      ...(key instanceof BridgeError ? [`the key was not read: ${key.message}`] : []),
      ...(report instanceof BridgeError ? [`etcd was not read: ${report.message}`] : []),
    ]
    const now = systemClock.now()
    const status = makeClusterStatus({
      reading,
      demand: makeDemand(file, values),
      ...(key instanceof BridgeError ? {} : key),
      report: report instanceof BridgeError ? undefined : report,
      unread,
      rotateEvery,
      mustUseKms: values.config !== undefined || plugins.length > 0 || mayWriteWithKms(file),
      now,
    })
    print(terminal, json ? JSON.stringify(status, null, 2) : formatStatus(status, now))
    return status.ok ? EXIT_OK : EXIT_FAILED
  } finally {
    servers.close()
  }
}

const OF_ETCD: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'ETCD_UNREACHABLE',
  'ETCD_DENIED',
  'ETCD_FAILED',
  'ETCD_COMPACTED',
  'STORE_EMPTY',
])

/**
 * During an outage of Vault or etcd, an operator needs to see everything else. Wrong usage still ends the command, and so does a
 * file that this host cannot read.
 */
async function orFault<Result>(work: Promise<Result>): Promise<Result | BridgeError> {
  try {
    return await work
  } catch (thrown) {
    const error = BridgeError.from(thrown)
    if (isVaultSilent(error) || isRefusal(error) || OF_ETCD.has(error.code)) return error
    throw error
  }
}

async function readKey(values: StatusValues, terminal: Terminal) {
  const { config, tokenFile } = values
  if (config === undefined) return {}
  const vault = await openOperatorVault({ config, tokenFile }, terminal)
  try {
    const key = await vault.key.read()
    return { key, versions: vault.versionsOf(key) }
  } finally {
    await vault.close()
  }
}

/** Only an EncryptionConfiguration without a KMS provider that writes shows that none is intended. */
function mayWriteWithKms(file: EncryptionFile | undefined): boolean {
  if (file === undefined) return true
  return file.rules.some(({ providers }) => providers[0]?.kms !== undefined)
}

/** Without the uid of the cluster, nothing shows that this is its etcd. */
async function readStored(
  values: StatusValues,
  file: EncryptionFile | undefined,
  servers: ApiServers,
  terminal: Terminal,
): Promise<Report | undefined> {
  if (!namesEtcd(values)) return undefined
  const uid = await readClusterUid(servers.first).catch((error: unknown) => BridgeError.from(error))
  const isUnknown = uid instanceof BridgeError
  const report = await untilInterrupted((signal) =>
    reportEtcd(
      values,
      { rules: file?.rules, cluster: isUnknown ? undefined : identifyCluster(servers, uid) },
      terminal,
      signal,
    ),
  )
  if (!isUnknown) return report
  const gap = `whether this is the etcd of the cluster is unknown: ${uid.message}`
  return { ...report, ok: false, gaps: [...report.gaps, gap] }
}
