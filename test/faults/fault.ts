import type { ErrorCode } from '../../src/errors.ts'
import type { Stage } from './stage.ts'

/** Where a program is when it meets a fault. */
export const PLACES = ['start', 'login', 'refresh', 'encrypt', 'decrypt', 'batch', 'mount'] as const
export type Place = (typeof PLACES)[number]

/** What a program is surrounded by; each kind has a plugin of its own. */
export type Surroundings =
  'proxy' | 'two addresses' | 'TLS' | 'name server' | 'clock' | 'full disk' | 'stuck log'

/** What callers, Status and the log say while a fault lasts. */
export interface Expected {
  /** The gRPC code of the call. */
  readonly answer: string
  /** In a batch, or in a Mount with several objects: the code of calls that the fault does not concern. */
  readonly others?: string
  /** The reason in `/readyz`. */
  readonly health: 'ok' | ErrorCode
  /** Words of the call's message, of Status and of the log; none if the program works. */
  readonly says?: string
  /** Words of the log alone, if the program works. */
  readonly log?: string
}

/** Why there is no such cell. */
export interface NoCell {
  readonly none: string
}

export type Requests = (method: string, path: string) => boolean

export interface Fault {
  readonly name: string
  readonly surroundings: Surroundings
  /** @param requests those of the place; a fault of the network or the host concerns all */
  readonly begin: (stage: Stage, requests: Requests) => Promise<void> | void
  readonly end: (stage: Stage) => Promise<void> | void
  readonly expected: Expected
  /** Where it differs. */
  readonly at?: Partial<Readonly<Record<Place, Partial<Expected> | NoCell>>>
}

/** What is expected in a cell, or why there is none. */
export function cellOf(fault: Fault, place: Place): Expected | NoCell {
  const own = fault.at?.[place]
  if (own !== undefined && 'none' in own) return own
  return { ...adapt(fault.expected, place), ...own }
}

/** Status itself always answers. A failed Mount has a status that kubelet does not treat as uncertain, and a provider stays ready. */
function adapt(expected: Expected, place: Place): Expected {
  if (place === 'refresh') return { ...expected, answer: 'OK' }
  if (place !== 'mount' || expected.answer === 'OK') return expected
  return { ...expected, answer: 'FAILED_PRECONDITION', health: 'ok' }
}

export const WORKS: Expected = { answer: 'OK', health: 'ok' }

export function outage(health: ErrorCode, says: string): Expected {
  return { answer: 'UNAVAILABLE', health, says }
}
