import { loadConfig } from '../config/load.ts'
import { formatFault } from '../yaml/fault.ts'
import { listChoices } from '../text/nearest.ts'
import { requireSection } from '../config/section.ts'
import { checkEncryptionConfig } from '../encryption/check.ts'
import type { EncryptionFault } from '../encryption/fault.ts'
import { parseGoDuration } from '../encryption/go-duration.ts'
import { MOVE_STEPS, parseMoveStep, parseOldProvider } from '../encryption/move.ts'
import { renderEncryptionConfig, type EncryptionConfigOptions } from '../encryption/render.ts'
import { BridgeError } from '../errors.ts'
import type { OptionValues } from './cli/command.ts'
import {
  complain,
  EXIT_FAILED,
  EXIT_MISTAKE,
  EXIT_OK,
  print,
  type Terminal,
} from './cli/terminal.ts'
import { readTextFile } from '../files/text-file.ts'

/** Prints an EncryptionConfiguration, or with --check says what is wrong with one. */
export async function runConfigEncryption(
  values: OptionValues,
  terminal: Terminal,
): Promise<number> {
  const socket = await findSocket(values, terminal)
  const { check } = values
  if (typeof check === 'string') {
    refuseTogether(values, 'check', ['resources', 'name', 'timeout', 'from', 'step'])
    return checkFile(check, socket, values['json'] === true, terminal)
  }
  refuseWithout(values, 'json', 'check')
  if (socket === undefined) throw mistake('needs --config FILE, or --check FILE')
  print(terminal, renderChecked({ socket, ...readOptions(values) }))
  return EXIT_OK
}

async function findSocket(values: OptionValues, terminal: Terminal): Promise<string | undefined> {
  const { config } = values
  if (typeof config !== 'string') return undefined
  return requireSection(await loadConfig(config, terminal.environment), 'kms').socket
}

function readOptions(values: OptionValues): Omit<EncryptionConfigOptions, 'socket'> {
  const { resources = 'secrets', name = 'transit-bridge', timeout = '3s', from, step } = values
  if (step !== undefined) refuseWithout(values, 'step', 'from')
  if (parseGoDuration(String(timeout)) === undefined)
    throw mistake('--timeout is not a duration; write for example 3s')
  const common = {
    name: String(name),
    resources: String(resources)
      .split(',')
      .map((resource) => resource.trim()),
    timeout: String(timeout),
  }
  return from === undefined ? common : { ...common, move: readMove(String(from), step) }
}

function readMove(from: string, step: string | true = 'read') {
  const old = parseOldProvider(from)
  if (old === undefined) {
    throw mistake(
      '--from is no provider; write identity, aescbc, secretbox, aesgcm or kms:NAME=/path/of/its.sock',
    )
  }
  const known = parseMoveStep(String(step))
  if (known === undefined) throw mistake(`--step is not a step; write ${listChoices(MOVE_STEPS)}`)
  return { from: old, step: known }
}

/** What was asked for may be what kube-apiserver refuses: a capital in a resource, a colon in the name. */
function renderChecked(options: EncryptionConfigOptions): string {
  const text = renderEncryptionConfig(options)
  const refused = checkEncryptionConfig(text, { socket: options.socket }).find(
    ({ severity, path }) => severity === 'refused' && !path.includes('.keys'),
  )
  if (refused === undefined) return text
  throw mistake(`this would be refused: ${refused.path} ${refused.message}${showHint(refused)}`)
}

async function checkFile(
  file: string,
  socket: string | undefined,
  json: boolean,
  terminal: Terminal,
): Promise<number> {
  const faults = checkEncryptionConfig(
    await readTextFile(file),
    socket === undefined ? {} : { socket },
  )
  const count = (severity: EncryptionFault['severity']) =>
    faults.filter((fault) => fault.severity === severity).length
  const ok = count('refused') + count('unsafe') === 0
  const lines = faults.map((fault) => `${fault.severity.padEnd(7)}  ${formatFault(file, fault)}`)
  const text = [...(ok ? [`${file}: ok`] : []), ...lines].join('\n')
  print(terminal, json ? JSON.stringify({ file, ok, faults }, null, 2) : text)
  if (ok) return EXIT_OK
  complain(
    terminal,
    count('refused') > 0
      ? `${file}: kube-apiserver would refuse it`
      : `${file}: kube-apiserver takes it, and something is unsafe`,
  )
  return count('refused') > 0 ? EXIT_MISTAKE : EXIT_FAILED
}

function showHint({ hint }: EncryptionFault): string {
  return hint === undefined ? '' : `; ${hint}`
}

function refuseTogether(values: OptionValues, one: string, others: readonly string[]): void {
  const other = others.find((name) => values[name] !== undefined)
  if (other !== undefined) throw mistake(`--${one} and --${other} exclude each other`)
}

function refuseWithout(values: OptionValues, name: string, needed: string): void {
  if (values[name] !== undefined && values[needed] === undefined)
    throw mistake(`--${name} is of use only with --${needed}`)
}

function mistake(message: string): BridgeError {
  return new BridgeError('USAGE_INVALID', `config encryption: ${message}`)
}
