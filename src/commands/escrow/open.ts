import { decryptByIdentity } from '../../escrow/age.ts'
import type { KeyTable } from '../../escrow/key-table.ts'
import { prepareFolder } from '../../escrow/out-folder.ts'
import {
  describeUnopened,
  formatCoverage,
  isComplete,
  type Coverage,
} from '../../escrow/reading.ts'
import { Recovery } from '../../escrow/recovery.ts'
import { openEscrow, readEscrow, type EscrowFile } from '../../escrow/sealed-file.ts'
import { joinShares } from '../../escrow/share.ts'
import { askAtTerminal, explainNoTerminal, type Ask } from '../cli/confirm.ts'
import { defineCommand, type CommandValues } from '../cli/command.ts'
import { etcdPrefixOption } from '../cli/options/etcd.ts'
import { flag, repeated, requiredText, text, usageError } from '../cli/option.ts'
import { skipHashCheckOption } from '../cli/store-report.ts'
import { EXIT_FAILED, EXIT_OK, print, warn, type Terminal } from '../cli/terminal.ts'
import { coverStore } from './store-coverage.ts'

const options = {
  escrow: requiredText('FILE', 'The escrow.'),
  share: repeated('FILE', 'A share of its key. Repeat it for each share.'),
  identity: text('FILE', 'File with an age identity that it was encrypted to.'),
  snapshot: requiredText('FILE', 'The etcd snapshot.'),
  skipHashCheck: skipHashCheckOption,
  out: requiredText('FOLDER', 'New folder for the objects, in the clear. Use tmpfs.'),
  yes: flag('Write Secrets in the clear without asking.'),
  json: flag('Print one JSON object.'),
  ...etcdPrefixOption,
}

type OpenValues = CommandValues<typeof options>

export const escrowOpenCommand = defineCommand({
  name: 'escrow open',
  usage: [
    '--escrow FILE --share FILE --share FILE ... --snapshot FILE --out FOLDER',
    '--escrow FILE --identity FILE --snapshot FILE --out FOLDER',
  ],
  description: `
Decrypt an etcd snapshot with an escrow, without Vault and without a cluster, and
write every encrypted object to a folder that only you can read: Secrets and
ConfigMaps as manifests for "kubectl apply", other objects as they are stored.
Objects that cannot be decrypted are named.`,
  options,
  exitCodes:
    '0 every encrypted object was written, 1 some or all were not or may be missing from the snapshot, 2 wrong usage, such as too few shares.',
  examples: [
    '$ transit-bridge escrow open --escrow escrow.json --share a --share b \\\n      --share c --snapshot backup.db --out /dev/shm/secrets',
  ],
  run: runOpen,
})

/** Writes what an escrow opens. No value is printed. */
export async function runOpen(
  values: OpenValues,
  terminal: Terminal,
  ask: Ask = askAtTerminal(),
): Promise<number> {
  const { out, etcdPrefix: prefix, snapshot: file, skipHashCheck } = values
  requireOneWay(values)
  const escrow = await readEscrow(values.escrow)
  const table = await open(escrow, values)
  try {
    if (!(await isConfirmed(values, ask))) {
      warn(terminal, 'nothing was written')
      return EXIT_FAILED
    }
    await prepareFolder(out)
    const recovery = new Recovery({ table, manifest: escrow.manifest, folder: out, prefix })
    const source = { kind: 'snapshot', file, skipHashCheck } as const
    const coverage = await coverStore(source, prefix, recovery, terminal)
    const ok = isComplete(coverage)
    const { manifests, others } = recovery
    const report = { ok, folder: out, manifests, others, coverage }
    print(terminal, values.json ? JSON.stringify(report, null, 2) : formatOpened(report))
    return ok ? EXIT_OK : EXIT_FAILED
  } finally {
    table.end()
  }
}

function requireOneWay({ share, identity }: OpenValues): void {
  if (share.length === 0 && identity === undefined)
    throw usageError('needs --share FILE for each share, or --identity FILE')
  if (share.length > 0 && identity !== undefined)
    throw usageError('--share and --identity are two ways to open it; use one')
}

async function open(escrow: EscrowFile, { share, identity }: OpenValues): Promise<KeyTable> {
  if (identity !== undefined && escrow.age === undefined)
    throw usageError('the escrow was not encrypted to age recipients; pass --share FILE')
  const fileKey =
    identity === undefined || escrow.age === undefined
      ? await joinShares(escrow.manifest, share)
      : await decryptByIdentity(escrow.age, identity)
  try {
    return openEscrow(escrow, fileKey)
  } finally {
    fileKey.fill(0)
  }
}

async function isConfirmed({ yes, out }: OpenValues, ask: Ask): Promise<boolean> {
  if (yes) return true
  if (ask === undefined)
    throw usageError(`writes Secrets in the clear; ${explainNoTerminal()}; confirm it with --yes`)
  return ask(`write the Secrets of the etcd snapshot in the clear to ${out}?`)
}

interface OpenReport {
  readonly ok: boolean
  readonly folder: string
  readonly manifests: number
  readonly others: number
  readonly coverage: Coverage
}

function formatOpened({ ok, folder, manifests, others, coverage }: OpenReport): string {
  return [
    ...formatCoverage(coverage),
    `${folder}: ${manifests.toLocaleString('en')} Secrets and ConfigMaps as manifests, ${others.toLocaleString('en')} other objects as they are stored`,
    ...(coverage.plainSecrets === 0
      ? []
      : [
          `${coverage.plainSecrets.toLocaleString('en')} Secrets are in plaintext in the etcd snapshot and were not written; read them from a restored etcd`,
        ]),
    ok
      ? 'ok: every encrypted object was decrypted and written; delete the folder when you are done'
      : describeUnopened(coverage),
  ].join('\n')
}
