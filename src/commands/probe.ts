import { pingSocket } from '../grpc/liveness.ts'
import { requireValue, type OptionValues } from './cli/command.ts'
import { EXIT_OK, print, type Terminal } from './cli/terminal.ts'

/** Shorter than `timeoutSeconds` of the probes that run it, so that the kubelet gets its message. */
const TIMEOUT_MS = 4_000

/** Checks that a server answers on a unix socket, for the probes of the kubelet. */
export async function runProbe(values: OptionValues, terminal: Terminal): Promise<number> {
  const socket = requireValue(values, 'socket')
  await pingSocket(socket, TIMEOUT_MS)
  print(terminal, `${socket}: ok`)
  return EXIT_OK
}
