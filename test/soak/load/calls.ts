import { CallError } from '../../real/program/grpc-client.ts'
import type { Mark, Promised } from '../members/condition.ts'
import type { Findings } from '../watch/findings.ts'
import type { Member } from '../members/member.ts'

/** Words of the client itself, which has no answer of the program. */
const CLIENT_WORDS =
  /^(Deadline exceeded after|No connection established|Connection dropped|Call cancelled|Received RST_STREAM|connect E|read E|write E|socket hang up)/i
/** Codes of a fault of the program, not of Vault or the caller. */
const OWN_FAULTS = new Set(['UNKNOWN', 'INTERNAL', 'UNIMPLEMENTED', 'DATA_LOSS'])
const MIN_REASON_LENGTH = 16
const MAX_TRIES = 4

/** What a call needs: Vault, or only what the memory of a plugin with local keys has. */
export type Needs = 'Vault' | 'local keys'

export interface CallCount {
  ok: number
  /** The program said no, with its reason. */
  refused: number
  /** The program did not answer: it was gone, stood still, or took longer than the caller's deadline. */
  unanswered: number
}

/** Why a call failed, as far as the caller sees. */
export interface Failure {
  readonly code: string
  readonly message: string
}

export interface Call<T> {
  readonly member: Member
  readonly what: string
  readonly needs?: Needs
  readonly run: () => Promise<T>
  /** Whether it may fail for a reason that is not a fault; asked when it has failed. */
  readonly isExcused?: () => boolean
}

/** Makes calls, counts them, and checks that they succeed when they must and that a refusal has a reason. */
export class Calls {
  readonly counts = new Map<string, CallCount>()
  readonly #findings: Findings

  constructor(findings: Findings) {
    this.#findings = findings
  }

  /** The result, or undefined if the call failed. */
  async make<T>(call: Call<T>): Promise<T | undefined> {
    const { member, what, run } = call
    const count = this.#countOf(what)
    for (let tries = 1; ; tries += 1) {
      const mark = member.condition.mark()
      try {
        const result = await run()
        count.ok += 1
        return result
      } catch (error) {
        const failure = countFailure(count, error)
        this.#requireReason(member, what, failure)
        if (!isUnexpected(call, mark)) return undefined
        // On a busy machine a call may take longer than its deadline, but not each time.
        if (failure.code === 'DEADLINE_EXCEEDED' && tries < MAX_TRIES) continue
        const text = `${member.name}: ${what} failed, and no fault explains it: ${textOf(failure)}`
        this.#findings.add('call', text)
        return undefined
      }
    }
  }

  /** Makes a call that may succeed or fail; returns whether it succeeded. */
  async makeOptional({ member, what, run }: Call<unknown>): Promise<boolean> {
    const count = this.#countOf(what)
    try {
      await run()
      count.ok += 1
      return true
    } catch (error) {
      this.#requireReason(member, what, countFailure(count, error))
      return false
    }
  }

  /** Makes a call that must fail. */
  async makeForbidden(call: Call<unknown>): Promise<void> {
    if (!(await this.makeOptional(call))) return
    const { member, what } = call
    this.#findings.add('plaintext for changed data', `${member.name}: ${what} succeeded`)
  }

  #requireReason(member: Member, what: string, failure: Failure): void {
    if (hasReason(failure)) return
    this.#findings.add('reason', `${member.name}: ${what} has no reason: ${textOf(failure)}`)
  }

  #countOf(what: string): CallCount {
    let count = this.counts.get(what)
    if (count === undefined) this.counts.set(what, (count = { ok: 0, refused: 0, unanswered: 0 }))
    return count
  }
}

/** Whether a call that began at `mark` had to succeed. */
function isUnexpected(call: Call<unknown>, mark: Mark): boolean {
  const { member, needs = 'Vault', isExcused = () => false } = call
  return !isExcused() && mustSucceed(member.condition.promisedSince(mark), member, needs)
}

export function mustSucceed(
  promised: Promised,
  { hasLocalKeys }: Pick<Member, 'hasLocalKeys'>,
  needs: Needs,
): boolean {
  if (promised === 'everything') return true
  return promised === 'local keys' && hasLocalKeys && needs === 'local keys'
}

export function hasReason({ code, message }: Failure): boolean {
  if (CLIENT_WORDS.test(message)) return true
  return !OWN_FAULTS.has(code) && message.length >= MIN_REASON_LENGTH
}

/** Whether the program itself said no. */
export function isRefused(error: unknown): boolean {
  return !CLIENT_WORDS.test(failureOf(error).message)
}

function countFailure(count: CallCount, error: unknown): Failure {
  const failure = failureOf(error)
  if (CLIENT_WORDS.test(failure.message)) count.unanswered += 1
  else count.refused += 1
  return failure
}

function failureOf(error: unknown): Failure {
  if (error instanceof CallError) return { code: error.code, message: error.message }
  if (error instanceof Error && 'code' in error && typeof error.code === 'string')
    return { code: error.code, message: error.message }
  // A mistake of the soak itself.
  throw error
}

function textOf({ code, message }: Failure): string {
  return `${code} ${JSON.stringify(message.slice(0, 300))}`
}
