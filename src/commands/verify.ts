import { readGivenFile } from '../encryption/rules-file.ts'
import { formatResource, type Resource } from '../kube/resource.ts'
import { DeepProof } from '../verify/deep-proof.ts'
import { formatReport } from '../verify/report-text.ts'
import { addGap, type Depth, type Report } from '../verify/report.ts'
import type { Decryption } from '../verify/verification.ts'
import { defineCommand, type CommandValues } from './cli/command.ts'
import {
  etcdAccessOptions,
  etcdPrefixOption,
  findHostEtcd,
  givenEtcdOptions,
  namesEtcd,
  readEtcdAccess,
  type EtcdAccessValues,
} from './cli/options/etcd.ts'
import { untilInterrupted } from './cli/process/interruption.ts'
import { count, flag, grouped, text, usageError } from './cli/option.ts'
import { allowedResources, resources } from './cli/options/resources.ts'
import {
  DEFAULT_ETCD_RATE,
  reportStore,
  requireReadable,
  skipHashCheckOption,
  type StoreReading,
  type StoreSource,
} from './cli/store-report.ts'
import { openSealedReader, type SealedAccess } from './cli/sealed-access.ts'
import { openSourceReader } from './cli/source-access.ts'
import { EXIT_FAILED, EXIT_OK, print, type Terminal } from './cli/terminal.ts'

const MAX_RATE = 1_000_000

const options = {
  snapshot: text(
    'FILE',
    'Read a file that "etcdctl snapshot save" wrote, and check its checksum. No etcd is needed.',
  ),
  skipHashCheck: skipHashCheckOption,
  resources: resources(
    'Read only these, and expect them to be encrypted: secrets,configmaps,widgets.example.com',
  ),
  allow: allowedResources('Resources that may be plaintext.'),
  encryptionConfig: text('FILE', "The API server's EncryptionConfiguration."),
  deep: flag('Decrypt every DEK seed through Transit.'),
  objects: flag('With --deep: decrypt every object, too. No value is printed.'),
  offline: flag(
    'Decrypt every object with the sealed file of this node (kms.localKeys.sealedFile) and without Vault. This proves that its API server can start during an outage.',
  ),
  config: text('FILE', "With --deep or --offline: the plugin's configuration."),
  json: flag('Print one JSON object.'),
  ...etcdAccessOptions,
  ...etcdPrefixOption,
  ...grouped('Etcd options', {
    rate: count(
      'N',
      MAX_RATE,
      `Maximum number of objects per second. Default: ${String(DEFAULT_ETCD_RATE)} from etcd, no limit from a file.`,
    ),
  }),
}

export type VerifyValues = CommandValues<typeof options>

export const verifyCommand = defineCommand({
  name: 'verify',
  usage: ['[ETCD OPTIONS] [OPTIONS]', '--snapshot FILE [OPTIONS]'],
  description: `
Read etcd itself, or an etcd snapshot, and report for each resource how its
objects are stored: provider, Transit key version, key id, DEK seeds, and
plaintext. It only reads, in pages at one revision. On a node of kubeadm, k3s or
RKE2, it finds etcd and its certificates, and reports which it uses.

--encryption-config names the resources that must be encrypted. Without it, these
are secrets and every resource with an encrypted object.`,
  options,
  exitCodes:
    '0 proved that everything is encrypted, and with --deep or --offline that it can be decrypted, 1 not proved, 2 wrong usage or configuration.',
  examples: [
    '$ transit-bridge verify',
    '$ transit-bridge verify --snapshot backup.db --deep --objects \\\n      --config /etc/transit-bridge/config.yaml',
    '$ transit-bridge verify --offline --config /etc/transit-bridge/config.yaml',
  ],
  run: runVerify,
})

/** Reads all of a cluster's store and reports whether it is encrypted. Nothing is written. */
async function runVerify(values: VerifyValues, terminal: Terminal): Promise<number> {
  const report = await verify(readVerification(values), terminal)
  print(terminal, values.json ? JSON.stringify(report, null, 2) : formatReport(report))
  return report.ok ? EXIT_OK : EXIT_FAILED
}

/** What is verified, how deeply, and with which plugin's configuration. */
export interface Verification extends Omit<StoreReading, 'deep' | 'rules'> {
  /** The API server's EncryptionConfiguration. */
  readonly encryptionConfig?: string | undefined
  readonly depth: Depth
  /** Required unless the depth is `envelopes`. */
  readonly config?: string | undefined
}

/** Throws USAGE_INVALID with a suggestion. */
export function readVerification(values: VerifyValues): Verification {
  const { config, resources: named, allow, encryptionConfig, etcdPrefix } = values
  const source = readSource(values)
  refuseDepth(values)
  refuseContradiction(named, allow)
  return {
    source,
    prefix: etcdPrefix,
    resources: named,
    allowed: allow,
    encryptionConfig,
    config,
    depth: depthOf(values),
    // A copied file has no other readers, so an etcd snapshot has no limit by default.
    rate: values.rate ?? (source.kind === 'etcd' ? DEFAULT_ETCD_RATE : undefined),
  }
}

function refuseDepth({ deep, objects, offline, config, resources: named }: VerifyValues): void {
  if (deep && offline)
    throw usageError('--deep asks Vault, and --offline does not; pass one of them')
  if (objects && offline) throw usageError('--offline decrypts every object; remove --objects')
  if (offline && named !== undefined)
    throw usageError('--offline proves that all data can be read; remove --resources')
  if (objects && !deep) throw usageError('--objects needs --deep')
  const needs = deep ? '--deep' : '--offline'
  if (config === undefined && (deep || offline))
    throw usageError(`${needs} needs --config FILE, the plugin's configuration`)
  if (config !== undefined && !deep && !offline)
    throw usageError('--config is only for --deep and --offline')
}

/** What --resources names must be encrypted. */
function refuseContradiction(
  named: readonly Resource[] | undefined,
  allowed: readonly Resource[] = [],
): void {
  const both = named?.map(formatResource).find((name) => allowed.map(formatResource).includes(name))
  if (both !== undefined) throw usageError(`${both} is in --resources and in --allow; remove one`)
}

/** The store that the options name. Throws USAGE_INVALID. */
export function readSource(
  values: EtcdAccessValues & Pick<VerifyValues, 'snapshot' | 'skipHashCheck'>,
): StoreSource {
  const { snapshot, skipHashCheck } = values
  if (snapshot !== undefined) {
    if (namesEtcd(values))
      throw usageError(`--snapshot reads a file; remove ${givenEtcdOptions(values).join(', ')}`)
    return { kind: 'snapshot', file: snapshot, skipHashCheck }
  }
  if (skipHashCheck) throw usageError('--skip-hash-check needs --snapshot FILE')
  if (namesEtcd(values)) return { kind: 'etcd', access: readEtcdAccess(values) }
  return { kind: 'etcd', ...findHostEtcd() }
}

function depthOf({ deep, objects, offline }: VerifyValues): Depth {
  if (offline) return 'offline'
  if (!deep) return 'envelopes'
  return objects ? 'objects' : 'seeds'
}

/** The report that {@link runVerify} prints. */
export async function verify(
  { config, depth, encryptionConfig, ...reading }: Verification,
  terminal: Terminal,
): Promise<Report> {
  const rules = (await readGivenFile(encryptionConfig))?.rules
  await requireReadable(reading.source)
  const keys = await openKeys(config, depth, terminal)
  try {
    const report = await untilInterrupted((signal) =>
      reportStore({ ...reading, rules, deep: keys && { ...keys, depth } }, terminal, signal),
    )
    if (keys?.confirm === undefined) return report
    const confirmed = await keys.confirm()
    if ('gap' in confirmed) return addGap(report, confirmed.gap)
    const ofSnapshot = reading.source.kind === 'snapshot'
    return { ...report, sealedFile: { ...confirmed, ofSnapshot } }
  } finally {
    await keys?.close()
  }
}

interface OpenKeys extends Omit<Decryption, 'depth'> {
  /** What must still be true after the store was read. */
  readonly confirm?: SealedAccess['confirm']
  close(): Promise<void> | void
}

/** What decrypts; undefined without --deep and --offline. */
async function openKeys(
  file: string | undefined,
  depth: Depth,
  terminal: Terminal,
): Promise<OpenKeys | undefined> {
  if (file === undefined) return undefined
  const isOffline = depth === 'offline'
  const access = isOffline
    ? await openSealedReader(file, terminal)
    : await openSourceReader(file, 'verify', terminal)
  const { reader, acceptVaultKubernetesKms } = access
  const objects = depth !== 'seeds'
  return {
    ...access,
    proof: new DeepProof({ reader, acceptVaultKubernetesKms, objects, isOffline }),
    close: () => access.close(),
  }
}
