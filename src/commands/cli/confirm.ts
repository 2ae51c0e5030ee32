import { createInterface } from 'node:readline/promises'
import type { Readable, Writable } from 'node:stream'

/** Asks a person; undefined when there is none at a terminal. */
export type Ask = ((question: string) => Promise<boolean>) | undefined

/** Where a person would be. */
export interface Seat {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stderr: Writable & { readonly isTTY?: boolean }
}

/**
 * The question goes to standard error, since standard output is for what was asked for. Only a clear yes is one; the end
 * of the input is a no.
 */
export function askAtTerminal({ stdin, stderr }: Seat = process): Ask {
  if (stdin.isTTY !== true || stderr.isTTY !== true) return undefined
  return (question) => {
    const { promise, resolve } = Promise.withResolvers<boolean>()
    const lines = createInterface({ input: stdin, output: stderr, terminal: false })
    lines.once('close', () => resolve(false))
    void lines.question(`${question} [y/N] `).then((answer) => {
      resolve(/^\s*y(es)?\s*$/i.test(answer))
      lines.close()
    })
    return promise
  }
}
