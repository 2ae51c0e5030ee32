import { makeRoundTrip } from '../kms/round-trip.ts'
import { defineCommand, type CommandValues } from './cli/command.ts'
import { requiredText } from './cli/option.ts'
import { EXIT_OK, print, type Terminal } from './cli/terminal.ts'

const options = { socket: requiredText('FILE', 'The socket, as in kms.socket.') }

export const roundTripCommand = defineCommand({
  name: 'round-trip',
  usage: ['--socket FILE'],
  description: `
Send the plugin the calls that kube-apiserver sends: Status, an Encrypt, and a
Decrypt of the result.`,
  options,
  exitCodes: '0 the plugin works, 1 it does not, 2 wrong usage.',
  examples: ['$ transit-bridge round-trip --socket /run/transit-bridge/kms.sock'],
  run: runRoundTrip,
})

/** Encrypts and decrypts through the plugin that serves a socket. */
async function runRoundTrip(
  { socket }: CommandValues<typeof options>,
  terminal: Terminal,
): Promise<number> {
  const { keyId, milliseconds } = await makeRoundTrip(socket)
  print(terminal, `${socket}: ok, key id ${keyId}, ${milliseconds.toFixed(1)} ms`)
  return EXIT_OK
}
