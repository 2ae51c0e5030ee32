import { systemClock } from '../../time/clock.ts'
import type { ListenAddress } from '../../config/config.ts'
import {
  installOnNode,
  removeFromNode,
  type NodeInstallOptions,
} from '../../node/install/node-install.ts'
import { version } from '../../version.ts'
import { defineCommand, type CommandValues } from '../cli/command.ts'
import {
  durationOr,
  flag,
  fullPathOr,
  requiredText,
  requireImage,
  text,
  textOr,
  usageError,
  type Option,
} from '../cli/option.ts'
import { EXIT_OK, print, type Terminal } from '../cli/terminal.ts'

const options = {
  config: requiredText(
    'FILE',
    "The plugin's configuration. The paths in it are paths on the host.",
  ),
  image: {
    ...requiredText('IMAGE', 'Image of the static pod.'),
    read: ([value = ''], label) => requireImage(value, label),
  } satisfies Option<string>,
  token: text(
    'FILE',
    "Service-account token that the kubelet keeps fresh. It becomes the host's vault.auth.tokenFile.",
  ),
  ca: text('FILE', "CA certificates of Vault. The file becomes the host's vault.caFile."),
  podPatch: text(
    'FILE',
    'Additions to the static pod, as a Pod: environment, volumes of the host, host aliases, resources.',
  ),
  root: fullPathOr('FOLDER', '/', "Where the host's folders are mounted."),
  hostConfig: fullPathOr(
    'FILE',
    '/etc/transit-bridge/config.yaml',
    'Path of the configuration on the host.',
  ),
  manifests: fullPathOr('FOLDER', '/etc/kubernetes/manifests', "The kubelet's static pod folder."),
  interval: durationOr(
    '30s',
    'How often to check the host, in addition to each change of a source.',
    { least: 1_000 },
  ),
  listen: listenAddressOr(
    '*:9391',
    'Address of /livez, /readyz and /metrics. /readyz is 200 when the plugin serves its socket.',
  ),
  selinuxType: {
    ...text(
      'TYPE',
      "SELinux type of the static pod, such as spc_t. Default: the container runtime's default.",
    ),
    read: ([value], label) => {
      if (value === undefined || /^[a-z_][a-z0-9_]*$/.test(value)) return value
      throw usageError(`${label} must be the name of an SELinux type, such as spc_t`)
    },
  } satisfies Option<string | undefined>,
  once: flag('Install once, print what changed, and exit.'),
  remove: flag('Remove what was installed, instead of installing it.'),
}

type InstallValues = CommandValues<typeof options>

export const installNodeCommand = defineCommand({
  name: 'install-node',
  usage: ['--config FILE --image IMAGE [OPTIONS]'],
  description: `
Install the KMS plugin on this node as a static pod, and keep its files up to
date until SIGTERM: configuration, Vault's CA, a service-account token, and the
manifest. The files stay when the command stops, because an API server depends on
them. It does not touch anything else in the static pod folder, and it never
replaces a working configuration or token with an unusable one.`,
  options,
  exitCodes: '0 done or stopped as requested, 1 failed, 2 wrong usage or configuration.',
  examples: [
    `$ transit-bridge install-node --once --config config.yaml \\\n      --image transit-bridge:${version} --token /run/token`,
  ],
  run: runInstallNode,
})

/** Installs the plugin on this node and keeps its files up to date until SIGTERM, or installs it once. */
async function runInstallNode(values: InstallValues, terminal: Terminal): Promise<number> {
  const install = readInstall(values)
  const act = values.remove ? removeFromNode : installOnNode
  const verb = values.remove ? 'removed' : 'written'
  if (values.once) {
    const { changed } = await act(install)
    const lines = changed.map((path) => `${path}: ${verb}`)
    print(terminal, lines.length === 0 ? 'nothing to do' : lines.join('\n'))
    return EXIT_OK
  }
  const { keepNode } = await import('./keep-node.ts')
  const { interval, listen } = values
  return keepNode({ options: install, act, verb, intervalMs: interval, listen })
}

function readInstall(values: InstallValues): NodeInstallOptions {
  const { config, token, ca, podPatch, root, hostConfig, manifests, image, selinuxType } = values
  return {
    configSource: config,
    tokenSource: token,
    caSource: ca,
    patchSource: podPatch,
    root,
    hostConfig,
    manifestFolder: manifests,
    image,
    selinuxType,
    clock: systemClock,
  }
}

function listenAddressOr(usual: string, help: string): Option<ListenAddress> {
  return {
    ...textOr('HOST:PORT', usual, help),
    read: ([value = usual], label) => {
      const [, host, port] = /^(.+):(\d{1,5})$/.exec(value) ?? []
      if (host === undefined || Number(port) > 65_535)
        throw usageError(`${label} must be host:port, such as ${usual}`)
      return { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) }
    },
  }
}
