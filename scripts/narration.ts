import { stdout } from 'node:process'
import { styleText } from 'node:util'

/** Prints a demonstration step by step: one line each, with the result and the duration. */
export class Narration {
  #count = 0

  /** Runs a step and prints its result, which `work` returns as text. A failure is printed and rethrown. */
  async step(what: string, work: () => Promise<string>): Promise<void> {
    this.#count += 1
    const number = `${String(this.#count)}.`.padStart(3)
    const startedAt = performance.now()
    try {
      const seen = await work()
      const seconds = ((performance.now() - startedAt) / 1000).toFixed(2)
      this.say(`${number} ${what}: ${paint('green', seen)} ${paint('dim', `(${seconds} s)`)}`)
    } catch (error) {
      this.say(`${number} ${what}: ${paint('red', 'failed')}`)
      throw error
    }
  }

  /** Prints a line that is not a step. */
  say(text: string): void {
    stdout.write(`${text}\n`)
  }
}

/** Colors on a terminal, none in a pipe (styleText checks the stream, NO_COLOR and FORCE_COLOR). */
export function paint(format: 'green' | 'red' | 'dim' | 'bold', text: string): string {
  return styleText(format, text, { stream: stdout })
}

/** Throws unless the condition holds. */
export function expect(holds: boolean, otherwise: string): asserts holds {
  if (!holds) throw new Error(otherwise)
}

/** Runs a whole demonstration; a failure is one line and exit code 1. */
export async function runDemonstration(demonstrate: () => Promise<void>): Promise<void> {
  try {
    await demonstrate()
    stdout.write('done; nothing is left running\n')
  } catch (error) {
    process.stderr.write(`demo failed: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exitCode = 1
  }
}

/** The start of an id that is too long for a line. */
export function shorten(id: string): string {
  return `${id.slice(0, 16)}…`
}
