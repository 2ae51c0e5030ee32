import { readManifests } from '../../csi/class/class-manifest.ts'
import { convertVaultManifests } from '../../csi/migration/vault-manifest.ts'
import { formatFault } from '../../yaml/fault.ts'
import { usageError } from '../cli/option.ts'
import { EXIT_FAILED, EXIT_OK, print, warn, type Terminal } from '../cli/terminal.ts'
import { readInput } from './input.ts'

interface ConvertValues {
  readonly operands: readonly string[]
  readonly config?: string | undefined
  readonly namespace?: string | undefined
  readonly serviceAccount?: string | undefined
  readonly json: boolean
}

/**
 * Prints classes of the Vault provider as classes of this one. Remarks are on standard error, so that the output is a
 * manifest.
 */
export async function convertClasses(values: ConvertValues, terminal: Terminal): Promise<number> {
  const { operands, config, namespace, serviceAccount, json } = values
  if (json || [config, namespace, serviceAccount].some((value) => value !== undefined))
    throw usageError('--from vault cannot be used with other options; check its output afterwards')
  const [file = '-'] = operands
  const name = file === '-' ? 'standard input' : file
  const { text, classes, faults, notes } = convertVaultManifests(await readInput(file))
  if (text !== '') print(terminal, text.trimEnd())
  for (const note of notes) warn(terminal, `note: ${formatFault(name, note)}`)
  for (const fault of faults) warn(terminal, formatFault(name, fault))
  if (classes === 0) warn(terminal, `${name} contains no SecretProviderClass of provider vault`)
  if (faults.length > 0) {
    const count = faults.length === 1 ? 'a field' : `${String(faults.length)} fields`
    warn(terminal, `${name} has ${count} without a counterpart`)
    return EXIT_FAILED
  }
  return classes > 0 && isValid(text, terminal) ? EXIT_OK : EXIT_FAILED
}

/** The Vault provider accepts values that this one does not, so what was printed is checked like any other class. */
function isValid(text: string, terminal: Terminal): boolean {
  const faults = readManifests(text).flatMap((manifest) => manifest.faults)
  for (const fault of faults) warn(terminal, formatFault('output', fault))
  if (faults.length > 0) warn(terminal, 'the printed class is not valid')
  return faults.length === 0
}
