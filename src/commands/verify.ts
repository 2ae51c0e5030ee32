import { randomUUID } from 'node:crypto'

import { systemClock } from '../time/clock.ts'
import { DeepProof } from '../verify/deep-proof.ts'
import type { Proof } from '../verify/proof.ts'
import { formatReport } from '../verify/report-text.ts'
import type { Depth, Report } from '../verify/report.ts'
import { SourceReader } from '../storage/source-reader.ts'
import { loadConfig } from '../config/load.ts'
import { requireSection } from '../config/section.ts'
import { createLogger } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { Transit } from '../transit/transit.ts'
import { version } from '../version.ts'
import type { OptionValues } from './cli/command.ts'
import { untilInterrupted } from './cli/interruption.ts'
import { openEtcd, openSnapshot } from './cli/store.ts'
import { reportStore } from './cli/stored-report.ts'
import { complain, EXIT_FAILED, EXIT_OK, print, type Terminal } from './cli/terminal.ts'
import { createVaultAccess } from './cli/vault-access.ts'
import { readVerifyOptions, type VerifyOptions } from './cli/verify-options.ts'

/** For revoking the Vault token at the end. */
const REVOKE_TIMEOUT_MS = 1_000

/** Reads a cluster's store and reports whether it is encrypted. It writes nothing. */
export async function runVerify(values: OptionValues, terminal: Terminal): Promise<number> {
  const options = readVerifyOptions(values)
  const report = await verify(options, terminal)
  print(terminal, options.json ? JSON.stringify(report, null, 2) : formatReport(report))
  return report.ok ? EXIT_OK : EXIT_FAILED
}

/** The report that {@link runVerify} prints. */
export async function verify(options: VerifyOptions, terminal: Terminal): Promise<Report> {
  const vault = await openVault(options, terminal)
  try {
    const opened = await openStore(options, terminal)
    const deep =
      vault === undefined
        ? undefined
        : { proof: vault.proof, uid: vault.uid, depth: depthOf(options) }
    return await untilInterrupted((signal) =>
      reportStore({ ...opened, options, terminal, signal, deep }),
    )
  } finally {
    await vault?.close()
  }
}

function depthOf({ objects }: VerifyOptions): Depth {
  return objects ? 'objects' : 'sources'
}

async function openStore({ source, skipHashCheck }: VerifyOptions, terminal: Terminal) {
  if (source.kind === 'snapshot') return openSnapshot(source.file, skipHashCheck)
  if (source.found !== undefined) {
    const { name, endpoint, certFile } = source.found
    complain(terminal, `reading the etcd of ${name} at ${endpoint} with ${certFile}`)
  }
  return { store: openEtcd(source.access, terminal) }
}

interface VaultProof {
  readonly proof: Proof
  readonly uid: string
  close(): Promise<void>
}

/** A Vault session with the plugin's identity, after a read of the key; undefined without --deep. */
async function openVault(
  { config: file, objects }: VerifyOptions,
  { environment }: Terminal,
): Promise<VaultProof | undefined> {
  if (file === undefined) return undefined
  const config = await loadConfig(file, environment)
  const kms = requireSection(config, 'kms')
  // No log: standard output is for the report, and errors are thrown.
  const telemetry = {
    clock: systemClock,
    log: createLogger('silent'),
    metrics: createMetrics(version),
  }
  const { client, session } = createVaultAccess({ config: config.vault, ...telemetry })
  const close = async () => {
    await session.stop({ deadline: systemClock.monotonic() + REVOKE_TIMEOUT_MS })
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
