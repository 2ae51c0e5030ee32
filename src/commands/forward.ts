import { access } from 'node:fs/promises'
import { BlockList, isIP } from 'node:net'

import type { ListenAddress } from '../config/config.ts'
import { parseEndpoint } from '../config/schema/endpoint.ts'
import { startForwarder } from '../csi/runtime/forwarder.ts'
import { systemCodeOf } from '../files/system-error.ts'
import { logKey } from '../telemetry/log.ts'
import { createInstallerMetrics } from '../telemetry/metrics/roles.ts'
import { defineCommand, type CommandValues } from './cli/command.ts'
import { requiredText, usageError, type Option } from './cli/option.ts'
import { handleShutdown } from './cli/process/shutdown.ts'
import { createTelemetry } from './cli/telemetry.ts'
import { EXIT_OK } from './cli/terminal.ts'

const DEFAULT_LISTEN = '127.0.0.1:8200'
const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8)
loopback.addAddress('::1', 'ipv6')

const options = {
  socket: requiredText('FILE', 'The socket in the volume, such as /transit/vault.sock.'),
  listen: localAddress(),
}

export const forwardCommand = defineCommand({
  name: 'forward',
  usage: ['--socket FILE [--listen 127.0.0.1:PORT]'],
  description: `
Forward connections to an address of the loopback interface to the socket in a volume
(csi.runtime). Run it in a container of the pod, for clients that cannot use a unix
socket, such as hvac and Java clients, and set VAULT_ADDR=http://127.0.0.1:8200 for
them. The containers of a pod share 127.0.0.1, so all of them can use it; other pods
cannot. Do not run it in a pod with hostNetwork: every process on the node could use it.
It runs until SIGTERM or SIGINT.`,
  options,
  exitCodes: '0 stopped as requested, 1 failed, 2 wrong usage.',
  examples: ['$ transit-bridge forward --socket /transit/vault.sock'],
  run: runForward,
})

async function runForward({ socket, listen }: CommandValues<typeof options>): Promise<never> {
  const { log, logSink } = createTelemetry('info', createInstallerMetrics)
  const shutdown = handleShutdown(log, logSink)
  const forwarder = await startForwarder({
    socket,
    listen,
    onFailure: (reason) =>
      log.error(
        { [logKey.socket]: socket, [logKey.reason]: reason },
        `cannot forward a connection to the socket; ${adviceFor(reason)}`,
      ),
  })
  const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host
  const address = `http://${host}:${String(forwarder.port)}`
  log.info({ [logKey.socket]: socket }, `forwarding ${address}; set VAULT_ADDR=${address}`)
  // The kubelet mounts volumes before it starts containers, so a missing socket is usually a wrong path.
  const missing = await access(socket).then(() => undefined, systemCodeOf)
  if (missing !== undefined)
    log.warn(
      { [logKey.socket]: socket, [logKey.reason]: missing },
      `the socket cannot be used yet, so connections fail; ${adviceFor(missing)}`,
    )
  await shutdown.requested
  forwarder.stop()
  return shutdown.exit(EXIT_OK)
}

function adviceFor(reason: string): string {
  return ['ENOENT', 'ENOTDIR', 'ENOTSOCK', 'EISDIR'].includes(reason)
    ? 'mount the volume into this container, and pass --socket FOLDER/vault.sock with the folder of its volumeMounts; if that is done, the driver on the node is not running'
    : 'the driver on the node does not accept connections; it may be restarting'
}

/** Anything that can reach another address would have the pod's rights. */
export function localAddress(): Option<ListenAddress> {
  return {
    takes: 'HOST:PORT',
    help: `Where to listen: an address of the loopback interface. By default ${DEFAULT_LISTEN}.`,
    read: ([value = DEFAULT_LISTEN], label) => {
      const address = parseEndpoint(value)
      const family = isIP(address?.host ?? '') === 6 ? 'ipv6' : 'ipv4'
      if (address !== undefined && isIP(address.host) !== 0 && loopback.check(address.host, family))
        return address
      throw usageError(
        `${label} must be an address of the loopback interface with a port, such as ${DEFAULT_LISTEN} or [::1]:8200: other pods must not reach it`,
      )
    },
  }
}
