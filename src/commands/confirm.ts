import { createInterface } from 'node:readline/promises'

/** Asks a person; undefined when there is none at a terminal. */
export type Ask = ((question: string) => Promise<boolean>) | undefined

/** The question goes to standard error, since standard output is for what was asked for. */
export function askAtTerminal(): Ask {
  const { stdin, stderr } = process
  if (!stdin.isTTY || !stderr.isTTY) return undefined
  return async (question) => {
    const lines = createInterface({ input: stdin, output: stderr })
    try {
      return /^\s*y(es)?\s*$/i.test(await lines.question(`${question} [y/N] `))
    } finally {
      lines.close()
    }
  }
}
