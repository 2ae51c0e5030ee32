import { pingSocket } from '../grpc/liveness.ts'
import { defineCommand } from './cli/command.ts'
import { requiredText } from './cli/option.ts'
import { EXIT_OK, print } from './cli/terminal.ts'

/** Shorter than `timeoutSeconds` of the probes that run it, so that the kubelet gets its message. */
const TIMEOUT_MS = 4_000

export const probeCommand = defineCommand({
  name: 'probe',
  usage: ['--socket FILE'],
  description: `
Check that the plugin or the provider answers on its unix socket. This depends
neither on Vault nor on the network: the kubelet runs it as the startup and
liveness probe.`,
  options: { socket: requiredText('FILE', 'The socket, as in kms.socket or csi.socket.') },
  exitCodes: '0 it answers, 1 it does not, 2 wrong usage.',
  examples: ['$ transit-bridge probe --socket /run/transit-bridge/kms.sock'],
  run: async ({ socket }, terminal) => {
    await pingSocket(socket, TIMEOUT_MS)
    print(terminal, `${socket}: ok`)
    return EXIT_OK
  },
})
