import { createInterface } from 'node:readline/promises'
import type { Readable, Writable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'

import { BridgeError } from '../../errors.ts'
import { escapeLines } from '../../text/one-line.ts'

/** Asks a person; undefined if there is no terminal. Rejects with CANCELLED on Ctrl-C. */
export type Ask = ((question: string) => Promise<boolean>) | undefined

/** The terminal at which a person is asked. `process` is one. */
export interface Prompt {
  readonly stdin: Readable & { readonly isTTY?: boolean }
  readonly stderr: Writable & { readonly isTTY?: boolean }
  once(signal: 'SIGINT', listener: () => void): unknown
  off(signal: 'SIGINT', listener: () => void): unknown
}

/**
 * The question goes to standard error, because standard output is for the result. Only `y` or `yes` confirms; the end
 * of the input does not. Ctrl-C ends the question, so that nothing typed after it can confirm.
 */
export function askAtTerminal(prompt: Prompt = process): Ask {
  const { stdin, stderr } = prompt
  if (stdin.isTTY !== true || stderr.isTTY !== true) return undefined
  return (question) => {
    const { promise, resolve, reject } = Promise.withResolvers<boolean>()
    const lines = createInterface({ input: stdin, output: stderr, terminal: false })
    const interrupt = () => {
      stderr.write('\n')
      reject(new BridgeError('CANCELLED', 'interrupted at the prompt; this step changed nothing'))
      lines.close()
    }
    prompt.once('SIGINT', interrupt)
    lines.once('close', () => {
      prompt.off('SIGINT', interrupt)
      resolve(false)
    })
    void lines.question(`${escapeLines(question)} [y/N] `).then(async (answer) => {
      await deliverSignals()
      resolve(/^\s*y(es)?\s*$/i.test(answer))
      lines.close()
    })
    return promise
  }
}

/** Ctrl-C and a line typed right after it can arrive in one turn of the event loop, the line first. */
async function deliverSignals(): Promise<void> {
  await setImmediate()
  await setImmediate()
}
