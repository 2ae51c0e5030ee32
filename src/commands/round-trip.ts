import { makeRoundTrip } from '../kms/round-trip.ts'
import { requireValue, type OptionValues } from './cli/command.ts'
import { EXIT_OK, print, type Terminal } from './cli/terminal.ts'

/** Has the plugin that serves a socket encrypt and decrypt something. */
export async function runRoundTrip(values: OptionValues, terminal: Terminal): Promise<number> {
  const socket = requireValue(values, 'socket')
  const { keyId, milliseconds } = await makeRoundTrip(socket)
  print(terminal, `${socket}: ok, key id ${keyId}, ${milliseconds.toFixed(1)} ms`)
  return EXIT_OK
}
