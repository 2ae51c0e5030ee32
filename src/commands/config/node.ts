import { loadConfig } from '../../config/load.ts'
import { renderDaemonSet } from '../../node/files/daemonset.ts'
import { nodeFilesFor, type NodeFilesOptions } from '../../node/files/node-files.ts'
import { renderK3s, renderRke2 } from '../../node/files/rancher.ts'
import { requireVisibleFiles } from '../../node/files/sandbox.ts'
import { renderStaticPod } from '../../node/files/static-pod.ts'
import { renderSystemdUnit } from '../../node/files/systemd.ts'
import { version } from '../../version.ts'
import { defineCommand, type CommandValues } from '../cli/command.ts'
import {
  fullPathOr,
  requiredChoice,
  requiredText,
  requireFullPath,
  requireImage,
  text,
  textOr,
  usageError,
  type Option,
} from '../cli/option.ts'
import { EXIT_OK, print, type Terminal } from '../cli/terminal.ts'

const SHAPE_NAMES = ['static-pod', 'systemd', 'k3s', 'rke2', 'daemonset'] as const

const SHAPES: Readonly<
  Record<(typeof SHAPE_NAMES)[number], (options: NodeFilesOptions) => string>
> = {
  'static-pod': renderStaticPod,
  systemd: renderSystemdUnit,
  k3s: renderK3s,
  rke2: renderRke2,
  daemonset: renderDaemonSet,
}

/** The shapes that run the plugin as a systemd unit. */
const UNITS: ReadonlySet<string> = new Set(['systemd', 'k3s', 'rke2'])

const options = {
  shape: requiredChoice(
    'SHAPE',
    SHAPE_NAMES,
    'How the plugin runs: static-pod, systemd, k3s, rke2 (systemd with a token timer) or daemonset.',
  ),
  config: requiredText('FILE', "The plugin's configuration."),
  hostConfig: text(
    'FILE',
    'Path of the configuration on the nodes. Default: the path in --config.',
  ),
  image: image('For pods: the image.'),
  program: fullPathOr(
    'FILE',
    '/usr/local/bin/transit-bridge',
    'For systemd, k3s and rke2: the program. The unit cannot read /root, /home and /tmp.',
  ),
}

export const configNodeCommand = defineCommand({
  name: 'config node',
  usage: ['--shape SHAPE --config FILE [--host-config FILE] [--image IMAGE] [--program FILE]'],
  description: `
Print the file that runs the plugin on a node, for installations without Helm.
For k3s and RKE2 it is a shell script, which writes all files of a server.`,
  options,
  examples: [
    '$ transit-bridge config node --shape systemd \\\n      --config /etc/transit-bridge/config.yaml \\\n      > /etc/systemd/system/transit-bridge-kms.service',
    '$ transit-bridge config node --shape k3s \\\n      --config /etc/transit-bridge/config.yaml > files.sh',
  ],
  run: runConfigNode,
})

/** Prints the file that runs the plugin on a node. */
async function runConfigNode(
  { shape, config: file, hostConfig, image: imageName, program }: CommandValues<typeof options>,
  terminal: Terminal,
): Promise<number> {
  const config = await loadConfig(file, terminal.environment)
  const place = { configFile: readConfigPath(file, hostConfig), image: imageName, program }
  const node = nodeFilesFor(config, place)
  if (UNITS.has(shape)) requireVisibleFiles(node)
  print(terminal, SHAPES[shape](node))
  return EXIT_OK
}

function readConfigPath(file: string, hostConfig: string | undefined): string {
  if (hostConfig !== undefined) return requireFullPath(hostConfig, '--host-config')
  if (file.startsWith('/')) return file
  throw usageError(
    '--config must be a full path, starting with /; or add --host-config, its path on the nodes',
  )
}

function image(help: string): Option<string> {
  const usual = `transit-bridge:${version}`
  return {
    ...textOr('IMAGE', usual, help),
    read: ([value = usual], label) => requireImage(value, label),
  }
}
