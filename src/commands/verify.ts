import { readGivenFile } from '../encryption/rules-file.ts'
import { formatResource, type Resource } from '../kube/resource.ts'
import { DeepProof } from '../verify/deep-proof.ts'
import type { Proof } from '../verify/proof.ts'
import { formatReport } from '../verify/report-text.ts'
import type { Depth, Report } from '../verify/report.ts'
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
  skipHashCheckOption,
  type StoreReading,
  type StoreSource,
} from './cli/store-report.ts'
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
  config: text('FILE', "With --deep: the plugin's configuration."),
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
    '0 proved that everything is encrypted and readable, 1 not proved, 2 wrong usage or configuration.',
  examples: [
    '$ transit-bridge verify',
    '$ transit-bridge verify --snapshot backup.db --deep --objects \\\n      --config /etc/transit-bridge/config.yaml',
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
  /** Needed unless the depth is `envelopes`. */
  readonly config?: string | undefined
}

/** Throws USAGE_INVALID with a suggestion. */
export function readVerification(values: VerifyValues): Verification {
  const { deep, objects, config, resources: named, allow, encryptionConfig, etcdPrefix } = values
  const source = readSource(values)
  if (deep && config === undefined)
    throw usageError("--deep needs --config FILE, the plugin's configuration")
  if (objects && !deep) throw usageError('--objects needs --deep')
  if (config !== undefined && !deep) throw usageError('--config is only for --deep')
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

function depthOf({ deep, objects }: VerifyValues): Depth {
  if (!deep) return 'envelopes'
  return objects ? 'objects' : 'seeds'
}

/** The report that {@link runVerify} prints. */
export async function verify(
  { config, depth, encryptionConfig, ...reading }: Verification,
  terminal: Terminal,
): Promise<Report> {
  const rules = (await readGivenFile(encryptionConfig))?.rules
  const vault = await openVault(config, depth, terminal)
  const deep = vault === undefined ? undefined : { proof: vault.proof, uid: vault.uid, depth }
  try {
    return await untilInterrupted((signal) =>
      reportStore({ ...reading, rules, deep }, terminal, signal),
    )
  } finally {
    await vault?.close()
  }
}

interface VaultProof {
  readonly proof: Proof
  readonly uid: string
  close(): Promise<void>
}

/** Undefined without --deep. */
async function openVault(
  file: string | undefined,
  depth: Depth,
  terminal: Terminal,
): Promise<VaultProof | undefined> {
  if (file === undefined) return undefined
  const access = await openSourceReader(file, 'verify', terminal)
  const { reader, acceptVaultKubernetesKms, uid } = access
  return {
    proof: new DeepProof({ reader, acceptVaultKubernetesKms, objects: depth === 'objects' }),
    uid,
    close: () => access.close(),
  }
}
