import { setTimeout as sleep } from 'node:timers/promises'

import { findLogFault } from './subjects.ts'
import type { Target } from './targets.ts'

export interface Plan {
  readonly seed: number
  /** The first input. */
  readonly first: number
  /** Returns whether another input is sent, with the number of those that were. */
  readonly goOn: (sent: number) => boolean
}

export interface Result {
  readonly sent: number
  /** What is wrong, with the seed and the number of the input. */
  readonly findings: readonly string[]
}

/** Clients at once. */
const CLIENTS = 8
const HONEST_PAUSE_MS = 50
const MAX_FINDINGS = 20

/** Attacks a target with several clients at once, while an honest client is served. */
export async function attack(target: Target, { seed, first, goOn }: Plan): Promise<Result> {
  const { subject, name } = target
  const findings: string[] = []
  let sent = 0
  const over = new AbortController()
  const report = (index: number, what: string) =>
    void findings.push(`${name} --seed ${String(seed)} --first ${String(index)}: ${what}`)
  const mayContinue = () =>
    subject.program.program.running && findings.length < MAX_FINDINGS && goOn(sent)
  const client = async () => {
    while (mayContinue()) {
      const index = first + sent
      sent += 1
      const fault = await target.attack(seed, index)
      if (fault !== undefined) report(index, fault)
    }
  }
  const honest = async () => {
    while (!over.signal.aborted && subject.program.program.running) {
      const before = sent
      await subject.serveHonestClient().catch((error: unknown) => {
        report(first + before, `an honest client is not served: ${String(error)}`)
      })
      await sleep(HONEST_PAUSE_MS)
    }
  }
  const serving = honest()
  await Promise.all(Array.from({ length: CLIENTS }, client))
  over.abort()
  await serving
  target.close()
  if (!subject.program.program.running)
    report(first + sent, `the program has ended:\n${subject.program.program.tail()}`)
  const logFault = findLogFault(subject.program)
  if (logFault !== undefined) report(first + sent, logFault)
  return { sent, findings }
}
