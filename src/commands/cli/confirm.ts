import { createInterface } from 'node:readline/promises'
import type { Readable, Writable } from 'node:stream'
import { setImmediate, setTimeout } from 'node:timers/promises'

import { BridgeError } from '../../errors.ts'
import { escapeLines } from '../../text/one-line.ts'

/** Asks a person; undefined if there is no terminal. Rejects with CANCELLED on Ctrl-C. */
export type Ask = ((question: string) => Promise<boolean>) | undefined

/** The terminal at which a person is asked. `process` is one. */
export interface Prompt {
  readonly stdin: Readable & {
    readonly isTTY?: boolean
    readonly setRawMode?: (isRaw: boolean) => unknown
  }
  readonly stderr: Writable & { readonly isTTY?: boolean }
  once(signal: 'SIGINT', listener: () => void): unknown
  off(signal: 'SIGINT', listener: () => void): unknown
}

/**
 * The question goes to standard error, because standard output is for the result. Only `y` or `yes` confirms; the end
 * of the input does not, nor what was typed before the question. Ctrl-C ends the question, so that nothing typed after it can
 * confirm.
 */
export function askAtTerminal(prompt: Prompt = process): Ask {
  const { stdin, stderr } = prompt
  if (stdin.isTTY !== true || stderr.isTTY !== true) return undefined
  return async (question) => {
    await discardInput(stdin)
    if (stdin.readableEnded) return false
    const { promise, resolve, reject } = Promise.withResolvers<boolean>()
    const lines = createInterface({ input: stdin, output: stderr, terminal: false })
    const interrupt = () => {
      stderr.write('\n')
      reject(interrupted())
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

/** Why {@link askAtTerminal} cannot ask. */
export function explainNoTerminal({ stdin }: Pick<Prompt, 'stdin'> = process): string {
  const stream = stdin.isTTY === true ? 'error' : 'input'
  return `standard ${stream} is not a terminal, so you cannot be asked`
}

function interrupted(): BridgeError {
  return new BridgeError('CANCELLED', 'interrupted at the prompt; this step changed nothing')
}

/** A pause in the input after which the question is asked. */
const QUIET_MS = 50
const CTRL_C = 3

/**
 * Reads and drops what was typed ahead. In raw mode this includes an incomplete line, which Enter alone would otherwise complete.
 * Ctrl-C is then a byte and not a signal.
 */
async function discardInput(stdin: Prompt['stdin']): Promise<void> {
  let isQuiet: boolean
  let isInterrupted = false
  const drop = (chunk: Buffer) => {
    isQuiet = false
    isInterrupted ||= Buffer.from(chunk).includes(CTRL_C)
  }
  stdin.setRawMode?.(true)
  stdin.on('data', drop).resume()
  try {
    do {
      isQuiet = true
      await setTimeout(QUIET_MS)
      // What has arrived is read between a timer and setImmediate, even if the process was late.
      await setImmediate()
    } while (!isQuiet && !stdin.readableEnded)
  } finally {
    stdin.off('data', drop).pause()
    stdin.setRawMode?.(false)
  }
  if (isInterrupted) throw interrupted()
}

/** Ctrl-C and a line typed right after it can arrive in one turn of the event loop, the line first. */
async function deliverSignals(): Promise<void> {
  await setImmediate()
  await setImmediate()
}
