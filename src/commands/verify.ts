import { randomUUID } from 'node:crypto'

import { systemClock } from '../time/clock.ts'
import { DeepProof } from '../verify/deep-proof.ts'
import { readEncryptionRules } from '../encryption/rules-file.ts'
import { EtcdClient } from '../etcd/client.ts'
import { EtcdStore } from '../etcd/live-store.ts'
import { makeExpectation } from '../encryption/expectation.ts'
import type { Proof } from '../verify/proof.ts'
import { formatReport } from '../verify/report-text.ts'
import { makeReport, type Depth, type Report } from '../verify/report.ts'
import { pathOfResource } from '../kube/resource.ts'
import { scanStore } from '../verify/scan.ts'
import { SnapshotStore } from '../etcd/snapshot/snapshot-store.ts'
import { SourceReader } from '../storage/source-reader.ts'
import type { Store } from '../etcd/store.ts'
import { loadConfig } from '../config/load.ts'
import { requireSection } from '../config/section.ts'
import { createLogger } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { Transit } from '../transit/transit.ts'
import { version } from '../version.ts'
import type { OptionValues } from './cli/command.ts'
import { untilInterrupted } from './cli/interruption.ts'
import { Progress } from './cli/progress.ts'
import { complain, EXIT_FAILED, EXIT_OK, print, type Terminal } from './cli/terminal.ts'
import { createVaultAccess } from './cli/vault-access.ts'
import { readVerifyOptions, type VerifyOptions } from './cli/verify-options.ts'

/** Time to revoke the own token at the end (milliseconds). */
const REVOKE_TIME = 1_000

/** Reads all of a cluster's store and says whether it is encrypted. Nothing is written anywhere. */
export async function runVerify(values: OptionValues, terminal: Terminal): Promise<number> {
  const options = readVerifyOptions(values)
  const report = await verify(options, terminal)
  print(terminal, options.json ? JSON.stringify(report, null, 2) : formatReport(report))
  return report.ok ? EXIT_OK : EXIT_FAILED
}

/** What {@link runVerify} prints. */
export async function verify(options: VerifyOptions, terminal: Terminal): Promise<Report> {
  const vault = await openVault(options, terminal)
  try {
    const store = await openStore(options, terminal)
    try {
      return await untilInterrupted((signal) =>
        verifyStore(store, options, vault, { terminal, signal }),
      )
    } finally {
      await store.close()
    }
  } finally {
    await vault?.close()
  }
}

interface Circumstances {
  readonly terminal: Terminal
  readonly signal: AbortSignal
}

async function verifyStore(
  store: Store,
  options: VerifyOptions,
  vault: VaultProof | undefined,
  { terminal, signal }: Circumstances,
): Promise<Report> {
  const { prefix, resources, allowed, encryptionConfig, rate } = options
  const rules =
    encryptionConfig === undefined ? undefined : await readEncryptionRules(encryptionConfig)
  const paths = resources?.map(pathOfResource)
  const progress = new Progress({
    stderr: terminal.stderr,
    clock: systemClock,
    what: 'objects read',
  })
  try {
    const tally = await scanStore({
      store,
      selection: { prefix, ...(paths === undefined ? {} : { paths }) },
      clock: systemClock,
      ...(rate === undefined ? {} : { rate }),
      ...(vault === undefined ? {} : { proof: vault.proof }),
      onProgress: (objects, fraction) => progress.show(objects, fraction),
      signal,
    })
    return makeReport({
      tally,
      expectation: makeExpectation({
        allowed,
        ...(rules === undefined ? {} : { rules }),
        ...(resources === undefined ? {} : { resources }),
      }),
      named: resources ?? [{ name: 'secrets', group: '' }],
      source: store.name,
      prefix,
      revisions: store.revisions,
      depth: depthOf(options),
      ...(vault === undefined ? {} : { vaultUid: vault.uid }),
    })
  } finally {
    progress.end()
  }
}

function depthOf({ deep, objects }: VerifyOptions): Depth {
  if (!deep) return 'envelopes'
  return objects ? 'objects' : 'sources'
}

async function openStore({ source }: VerifyOptions, terminal: Terminal): Promise<Store> {
  if (source.kind === 'snapshot') {
    const store = await SnapshotStore.open(source.file)
    if (store.checksum === 'absent')
      complain(terminal, `${store.name} has no checksum, as a copy of a database file has none`)
    return store
  }
  if (source.found !== undefined) {
    const { name, endpoint, certFile } = source.found
    complain(terminal, `reads the etcd of ${name}, ${endpoint} with ${certFile}`)
  }
  return new EtcdStore({
    client: new EtcdClient(source.access),
    onCompaction: (revision, key) =>
      complain(
        terminal,
        `etcd was compacted while it was read; goes on at revision ${String(revision)} from ${JSON.stringify(key)}`,
      ),
  })
}

interface VaultProof {
  readonly proof: Proof
  readonly uid: string
  close(): Promise<void>
}

/** A session of the plugin's own identity, whose key has been read; undefined without --deep. */
async function openVault(
  { config: file, objects }: VerifyOptions,
  { environment }: Terminal,
): Promise<VaultProof | undefined> {
  if (file === undefined) return undefined
  const config = await loadConfig(file, environment)
  const kms = requireSection(config, 'kms')
  // Standard output is for the report alone; what goes wrong is thrown.
  const telemetry = {
    clock: systemClock,
    log: createLogger('silent'),
    metrics: createMetrics(version),
  }
  const { client, session } = createVaultAccess({ config: config.vault, ...telemetry })
  const close = async () => {
    await session.stop({ deadline: systemClock.monotonic() + REVOKE_TIME })
    await client.close()
  }
  const uid = `verify-${randomUUID()}`
  const transit = new Transit({ vault: session, mount: config.transit.mount })
  const reader = new SourceReader({
    transit,
    place: config.transit,
    clusters: kms,
    clock: systemClock,
    uid,
  })
  try {
    await reader.readKey()
  } catch (error) {
    await close()
    throw error
  }
  const acceptVaultKubernetesKms = kms.acceptFrom.includes('vault-kubernetes-kms')
  return { proof: new DeepProof({ reader, acceptVaultKubernetesKms, objects }), uid, close }
}
