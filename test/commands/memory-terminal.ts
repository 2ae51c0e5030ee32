import { Writable } from 'node:stream'

import type { Terminal } from '../../src/commands/cli/terminal.ts'

/** A terminal that keeps what is written to it, without an environment. */
export function memoryTerminal(): Terminal & { readonly text: () => string } {
  let written = ''
  const stdout = new Writable({
    write(chunk, _encoding, done) {
      written += String(chunk)
      done()
    },
  })
  return { stdout, stderr: stdout, environment: {}, text: () => written }
}
