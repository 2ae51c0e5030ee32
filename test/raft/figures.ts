import type { Standbys } from './event.ts'

/** What callers saw, by one way to the cluster. */
export interface WayFigures {
  readonly calls: number
  readonly failed: number
  /** Failed calls whose own deadline allowed another try. */
  readonly avoidable: number
  /** The longest time in which no call of one kind succeeded. */
  readonly gapMs: number
  readonly notOkMs: number
  /** Wrong plaintexts, and older key ids after newer ones. */
  readonly wrong: number
  /** Ciphertexts that a new plugin cannot decrypt. */
  readonly lost: number
}

export interface EventFigures {
  /** The longest time in which direct calls found no node that serves: the election of a leader, as a client sees it. */
  readonly outageMs: number
  readonly addresses: WayFigures
  readonly balancer: WayFigures
  readonly mounts: Pick<WayFigures, 'calls' | 'failed' | 'avoidable'>
}

/** By the name of the event. */
export type RaftFigures = Record<string, Partial<Record<Standbys, EventFigures>>>
