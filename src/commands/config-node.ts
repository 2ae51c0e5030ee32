import { loadConfig } from '../config/load.ts'
import { listChoices } from '../text/nearest.ts'
import { requireSection } from '../config/section.ts'
import { BridgeError } from '../errors.ts'
import { renderDaemonSet } from '../node/files/daemonset.ts'
import { namedFiles } from '../node/files/named-files.ts'
import type { NodeFilesOptions } from '../node/files/node-files.ts'
import { renderStaticPod } from '../node/files/static-pod.ts'
import { renderSystemdUnit } from '../node/files/systemd.ts'
import { version } from '../version.ts'
import { requireValue, type OptionValues } from './cli/command.ts'
import { EXIT_OK, print, type Terminal } from './cli/terminal.ts'

const SHAPES: Readonly<Record<string, (options: NodeFilesOptions) => string>> = {
  'static-pod': renderStaticPod,
  systemd: renderSystemdUnit,
  daemonset: renderDaemonSet,
}

/** Prints what makes a node run the plugin, for those who install without Helm. */
export async function runConfigNode(values: OptionValues, terminal: Terminal): Promise<number> {
  const shape = requireValue(values, 'shape')
  const render = Object.hasOwn(SHAPES, shape) ? SHAPES[shape] : undefined
  if (render === undefined)
    throw mistake(`--shape is not a shape; write ${listChoices(Object.keys(SHAPES))}`)
  const file = requireValue(values, 'config')
  const config = await loadConfig(file, terminal.environment)
  const configFile = readPath(values, 'host-config', file)
  const kms = requireSection(config, 'kms')
  print(
    terminal,
    render({
      configFile,
      socket: kms.socket,
      socketGroup: kms.socketGroup,
      files: namedFiles(config),
      admin: config.admin.listen,
      image: readWord(values, 'image', `transit-bridge:${version}`),
      program: readPath(values, 'program', '/usr/local/bin/transit-bridge'),
    }),
  )
  return EXIT_OK
}

function readPath(values: OptionValues, name: string, usual: string): string {
  const path = String(values[name] ?? usual)
  if (path.startsWith('/') && !/\p{Cc}/u.test(path)) return path
  const option = name === 'host-config' && values[name] === undefined ? 'config' : name
  const remedy = option === 'config' ? '; or give --host-config, its place on the nodes' : ''
  throw mistake(`--${option} must be a full path, from / on${remedy}`)
}

function readWord(values: OptionValues, name: string, usual: string): string {
  const word = String(values[name] ?? usual)
  if (/^[\w./:@-]+$/.test(word)) return word
  throw mistake(`--${name} is not the name of an image`)
}

function mistake(message: string): BridgeError {
  return new BridgeError('USAGE_INVALID', `config node: ${message}`)
}
