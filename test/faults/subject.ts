import { setTimeout as sleep } from 'node:timers/promises'
import { CallError } from '../real/program/grpc-client.ts'
import type { ServedProgram } from '../real/program/served-program.ts'

/** What a caller got: OK or the code of an error, with its words. */
export interface Answer {
  readonly code: string
  readonly message: string
}

/** What a program says of its own health. */
export interface HealthReport {
  readonly reason: string
  readonly message: string
}

/** A program with the calls of one place. */
export interface Subject {
  readonly program: ServedProgram
  /**
   * Opens every connection that the test needs while a fault lasts. A program that can open no file accepts no connection,
   * and the client is not told so.
   */
  readonly connect: () => Promise<void>
  /** Calls, and checks that what comes back is right. */
  readonly call: () => Promise<readonly Answer[]>
  readonly health: () => Promise<HealthReport>
  /** The age of what its last successful check of Vault found. */
  readonly checkedAgoMs: () => Promise<number>
  /** Decrypts everything that it has encrypted so far. */
  readonly checkAll: () => Promise<void>
  readonly stop: () => Promise<number | null>
}

/** gRPC's own words if the client's clock ended the call, which a busy machine may do a moment before the program. */
const CLIENT_ENDED = /^Deadline exceeded after/i
const MAX_TRIES = 4

export const OK: Answer = { code: 'OK', message: '' }

/**
 * A call's outcome. The program must answer before the caller's deadline, so an outcome of the client's own clock does not
 * count; if there is no other in several calls, it is returned and fails the test.
 */
export async function answerOf(call: () => Promise<Answer>): Promise<Answer> {
  for (let tries = 1; ; tries += 1) {
    const answer = await outcomeOf(call)
    if (!CLIENT_ENDED.test(answer.message) || tries === MAX_TRIES) return answer
    await sleep(100)
  }
}

async function outcomeOf(call: () => Promise<Answer>): Promise<Answer> {
  try {
    return await call()
  } catch (error) {
    if (error instanceof CallError) return { code: error.code, message: error.message }
    throw error
  }
}
