import { systemClock } from '../time/clock.ts'
import type { ListenAddress } from '../config/config.ts'
import { parseDuration } from '../time/duration.ts'
import { BridgeError } from '../errors.ts'
import {
  installOnNode,
  removeFromNode,
  type NodeInstallOptions,
} from '../node/install/node-install.ts'
import { requireValue, type OptionValues } from './cli/command.ts'
import { EXIT_OK, print, type Terminal } from './cli/terminal.ts'

const DEFAULT_INTERVAL = '30s'
const DEFAULT_LISTEN = '0.0.0.0:9391'
const DEFAULT_HOST_CONFIG = '/etc/transit-bridge/config.yaml'
const DEFAULT_MANIFESTS = '/etc/kubernetes/manifests'

/** Puts the plugin on this node as a static pod and keeps its files fresh, until SIGTERM; or once. */
export async function runInstallNode(values: OptionValues, terminal: Terminal): Promise<number> {
  const options = readOptions(values)
  const act = values['remove'] === true ? removeFromNode : installOnNode
  const verb = values['remove'] === true ? 'removed' : 'written'
  if (values['once'] === true) {
    const { changed } = await act(options)
    const lines = changed.map((path) => `${path}: ${verb}`)
    print(terminal, lines.length === 0 ? 'nothing to do' : lines.join('\n'))
    return EXIT_OK
  }
  const { keepNode } = await import('./keep-node.ts')
  return keepNode({
    options,
    act,
    verb,
    interval: readInterval(values),
    listen: readListen(values),
  })
}

function readOptions(values: OptionValues): NodeInstallOptions {
  const { token, ca } = values
  return {
    configSource: requireValue(values, 'config'),
    ...(typeof token === 'string' ? { tokenSource: token } : {}),
    ...(typeof ca === 'string' ? { caSource: ca } : {}),
    root: readPath(values, 'root', '/'),
    hostConfig: readPath(values, 'host-config', DEFAULT_HOST_CONFIG),
    manifestFolder: readPath(values, 'manifests', DEFAULT_MANIFESTS),
    image: readImage(values),
    clock: systemClock,
  }
}

function readPath(values: OptionValues, name: string, usual: string): string {
  const path = String(values[name] ?? usual)
  if (path.startsWith('/') && !/\p{Cc}/u.test(path)) return path
  throw mistake(`--${name} must be a full path, from / on`)
}

function readImage(values: OptionValues): string {
  const image = requireValue(values, 'image')
  if (/^[\w./:@-]+$/.test(image)) return image
  throw mistake('--image is not the name of an image')
}

function readInterval(values: OptionValues): number {
  const interval = parseDuration(String(values['interval'] ?? DEFAULT_INTERVAL))
  if (interval !== undefined && interval >= 1_000) return interval
  throw mistake('--interval must be a duration of at least 1s, such as 30s')
}

function readListen(values: OptionValues): ListenAddress {
  const [, host, port] = /^(.+):(\d{1,5})$/.exec(String(values['listen'] ?? DEFAULT_LISTEN)) ?? []
  if (host === undefined || Number(port) > 65_535)
    throw mistake('--listen must be host:port, such as 0.0.0.0:9391')
  return { host: host.replace(/^\[(.*)\]$/, '$1'), port: Number(port) }
}

function mistake(message: string): BridgeError {
  return new BridgeError('USAGE_INVALID', `install-node: ${message}`)
}
