import type { CallContext } from '../../../call-context.ts'
import type { AddressBook } from './address-book.ts'
import { AttemptFailure } from '../attempt.ts'
import type { Sender } from './recognition.ts'
import type { VaultRequest } from '../request.ts'

/** Standbys answer it, too, and it needs no token. Only the root namespace has it. */
const HEALTH: VaultRequest = {
  operation: 'find_cluster',
  method: 'GET',
  path: 'sys/health?standbyok=true&perfstandbyok=true',
  namespace: '',
}

/** Tells which addresses are of different clusters. The nodes of one cluster share the count of rejected logins. */
export class Clusters {
  readonly #book: AddressBook
  readonly #send: Sender

  constructor(book: AddressBook, send: Sender) {
    this.#book = book
    this.#send = send
  }

  /** The addresses that say now that they are of other clusters than all of these. Never throws. */
  async others(
    than: ReadonlySet<number>,
    { deadline, signal }: CallContext,
  ): Promise<ReadonlySet<number>> {
    const ids = await Promise.all(
      this.#book.addresses.map((_, index) => this.#read(index, { deadline, signal })),
    )
    const excluded = [...than].map((index) => ids[index])
    // An unknown cluster may be any.
    if (excluded.includes(undefined)) return new Set()
    const isOther = (index: number) => ids[index] !== undefined && !excluded.includes(ids[index])
    return new Set([...ids.keys()].filter(isOther))
  }

  async #read(index: number, context: CallContext): Promise<string | undefined> {
    const patienceMs = this.#book.patienceFor(HEALTH.operation)
    const outcome = await this.#send(HEALTH, context, index, patienceMs)
    return outcome instanceof AttemptFailure ? undefined : clusterIn(outcome.body)
  }
}

function clusterIn(body: unknown): string | undefined {
  if (typeof body !== 'object' || body === null) return undefined
  // A performance secondary has another id than its primary, but the same roles and secret ids.
  if (Reflect.get(body, 'replication_performance_mode') === 'secondary') return undefined
  const id: unknown = Reflect.get(body, 'cluster_id')
  return typeof id === 'string' && id !== '' ? id : undefined
}
