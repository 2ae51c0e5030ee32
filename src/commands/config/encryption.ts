import { loadConfig } from '../../config/load.ts'
import { formatFault } from '../../yaml/fault.ts'
import { requireSection } from '../../config/section.ts'
import { checkEncryptionConfig } from '../../encryption/check.ts'
import { decodeDocument } from '../../encryption/document.ts'
import type { EncryptionFault } from '../../encryption/fault.ts'
import { parseGoDuration } from '../../encryption/go-duration.ts'
import { MOVE_STEPS, parseOldProvider, type MoveStep } from '../../encryption/move.ts'
import { listCustomNames } from '../../encryption/resource-names.ts'
import { readEncryptionText } from '../../encryption/text.ts'
import { KubeClient } from '../../kube/client.ts'
import { findServing } from '../../kube/discovery.ts'
import { readKubeconfig } from '../../kube/kubeconfig.ts'
import { systemClock } from '../../time/clock.ts'
import { renderEncryptionConfig, type EncryptionConfigOptions } from '../../encryption/render.ts'
import { defineCommand, type CommandValues } from '../cli/command.ts'
import { choice, flag, list, text, usageError, type Option } from '../cli/option.ts'
import { warn, EXIT_FAILED, EXIT_MISTAKE, EXIT_OK, print, type Terminal } from '../cli/terminal.ts'
import { readTextFile } from '../../files/text-file.ts'

const options = {
  config: text('FILE', "The plugin's configuration, for the path of the socket."),
  resources: list('LIST', 'Resources to encrypt, separated by commas. Default: secrets'),
  name: text(
    'NAME',
    'Name of the provider. It is stored with the data and cannot change later. Default: transit-bridge',
  ),
  timeout: goDuration('Time limit of one call to the plugin. Default: 3s'),
  from: oldProvider(
    'The current provider: identity (plaintext), aescbc, secretbox, aesgcm, or kms:NAME=SOCKET for another plugin.',
  ),
  step: stepOption(),
  check: text('FILE', 'Check this file. With --config, also check that it contains the plugin.'),
  kubeconfig: text('FILE', 'With --check: ask the API server whether custom resources exist.'),
  json: flag('With --check: print one JSON object: file, ok, faults.'),
}

type EncryptionValues = CommandValues<typeof options>

export const configEncryptionCommand = defineCommand({
  name: 'config encryption',
  usage: [
    '--config FILE [--resources LIST] [--name NAME] [--timeout DURATION] [--from PROVIDER [--step STEP]]',
    '--check FILE [--config FILE] [--kubeconfig FILE] [--json]',
  ],
  description: `
Print the EncryptionConfiguration for kube-apiserver, with the plugin's socket
and with the next steps as comments. Or check a file: report what kube-apiserver
would refuse (exit code 2) and what is unsafe (exit code 1):

    refused  FILE:LINE: resources[0].providers[0].kms.cachesize: is not ...`,
  options,
  exitCodes:
    '0 no problems found, 1 something is unsafe, 2 wrong usage or kube-apiserver would refuse the file.',
  examples: [
    '$ transit-bridge config encryption --config config.yaml --from aescbc',
    '$ transit-bridge config encryption --check encryption.yaml',
  ],
  run: runConfigEncryption,
})

/** Prints an EncryptionConfiguration, or checks one. */
async function runConfigEncryption(values: EncryptionValues, terminal: Terminal): Promise<number> {
  const { check, json } = values
  const socket = await findSocket(values, terminal)
  if (check !== undefined) {
    refusePrintOptions(values)
    return checkFile(check, socket, values, terminal)
  }
  if (json) throw usageError('--json needs --check')
  if (values.kubeconfig !== undefined) throw usageError('--kubeconfig needs --check')
  if (socket === undefined) throw usageError('needs --config FILE, or --check FILE')
  print(terminal, renderChecked({ socket, ...readOptions(values) }))
  return EXIT_OK
}

async function findSocket(
  { config }: EncryptionValues,
  { environment }: Terminal,
): Promise<string | undefined> {
  if (config === undefined) return undefined
  return requireSection(await loadConfig(config, environment), 'kms').socket
}

function readOptions(values: EncryptionValues): Omit<EncryptionConfigOptions, 'socket'> {
  const { resources = ['secrets'], name = 'transit-bridge', timeout = '3s', from, step } = values
  if (step !== undefined && from === undefined) throw usageError('--step needs --from')
  const common = { name, resources, timeout }
  return from === undefined ? common : { ...common, move: { from, step: step ?? 'read' } }
}

function goDuration(help: string): Option<string | undefined> {
  return {
    ...text('DURATION', help),
    read: ([value], label) => {
      if (value === undefined || parseGoDuration(value) !== undefined) return value
      throw usageError(`${label} must be a duration such as 3s, not ${JSON.stringify(value)}`)
    },
  }
}

function oldProvider(help: string): Option<ReturnType<typeof parseOldProvider>> {
  return {
    ...text('PROVIDER', help),
    read: ([value], label) => {
      const provider = value === undefined ? undefined : parseOldProvider(value)
      if (value === undefined || provider !== undefined) return provider
      throw usageError(
        `${label} must be identity, aescbc, secretbox, aesgcm or kms:NAME=/path/of/its.sock, not ${JSON.stringify(value)}`,
      )
    },
  }
}

function stepOption(): Option<MoveStep | undefined> {
  const step = choice(
    'STEP',
    MOVE_STEPS,
    'read',
    'With --from: step of the migration: read, write, rewrite or remove.',
  )
  return {
    ...step,
    read: (given, label) => (given.length === 0 ? undefined : step.read(given, label)),
  }
}

/**
 * The options may lead to a file that kube-apiserver refuses (an uppercase letter in a resource, a colon in the name), or
 * to a rule that matches nothing.
 */
function renderChecked(wanted: EncryptionConfigOptions): string {
  const rendered = renderEncryptionConfig(wanted)
  const faults = checkEncryptionConfig(rendered, { socket: wanted.socket })
  const refused = faults.find(
    ({ severity, path }) => severity === 'refused' && !path.includes('.keys'),
  )
  if (refused !== undefined)
    throw usageError(
      `this would be refused: ${refused.path} ${refused.message}${showHint(refused)}`,
    )
  const unknown = faults.find(
    ({ severity, path }) => severity === 'unsafe' && path.startsWith(RESOURCES),
  )
  if (unknown === undefined) return rendered
  const name = wanted.resources[Number.parseInt(unknown.path.slice(RESOURCES.length), 10)]
  throw usageError(`--resources: ${JSON.stringify(name)} ${unknown.message}${showHint(unknown)}`)
}

/** The path of a name in the only rule of a rendered file, without its index. */
const RESOURCES = 'resources[0].resources['

async function checkFile(
  file: string,
  socket: string | undefined,
  { json, kubeconfig }: EncryptionValues,
  terminal: Terminal,
): Promise<number> {
  const content = await readTextFile(file)
  const serving = kubeconfig === undefined ? undefined : await askCluster(content, kubeconfig)
  const faults = checkEncryptionConfig(content, { socket, serving })
  const count = (severity: EncryptionFault['severity']) =>
    faults.filter((fault) => fault.severity === severity).length
  const ok = count('refused') + count('unsafe') === 0
  const lines = faults.map((fault) => `${fault.severity.padEnd(7)}  ${formatFault(file, fault)}`)
  const lineByLine = [...(ok ? [`${file}: ok`] : []), ...lines].join('\n')
  print(terminal, json ? JSON.stringify({ file, ok, faults }, null, 2) : lineByLine)
  if (ok) return EXIT_OK
  warn(
    terminal,
    count('refused') > 0
      ? `${file}: kube-apiserver would refuse it`
      : `${file}: kube-apiserver would accept it, but something is unsafe`,
  )
  return count('refused') > 0 ? EXIT_MISTAKE : EXIT_FAILED
}

/** What an API server says about the names in a file that only it knows. */
async function askCluster(content: string, kubeconfig: string) {
  const source = readEncryptionText(content)
  const names =
    'value' in source ? listCustomNames(decodeDocument(source.value).document.rules) : []
  if (names.length === 0) return undefined
  const client = new KubeClient(await readKubeconfig(kubeconfig), systemClock)
  try {
    return await findServing(client, names)
  } finally {
    client.close()
  }
}

function showHint({ hint }: EncryptionFault): string {
  return hint === undefined ? '' : `; ${hint}`
}

/** The options for printing a file cannot be used with --check. */
function refusePrintOptions({ resources, name, timeout, from, step }: EncryptionValues): void {
  const given = {
    '--resources': resources,
    '--name': name,
    '--timeout': timeout,
    '--from': from,
    '--step': step,
  }
  const [other] = Object.entries(given).find(([, value]) => value !== undefined) ?? []
  if (other !== undefined) throw usageError(`--check and ${other} cannot be used together`)
}
