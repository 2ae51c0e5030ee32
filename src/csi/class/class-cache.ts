import { LRUCache } from 'lru-cache'
import type { Clock } from '../../time/clock.ts'
import { BridgeError, type ErrorCode } from '../../errors.ts'
import { fingerprint } from '../volume/content.ts'
import { FairGate } from '../fair-gate.ts'
import { parseClass, type SecretProviderClass } from './secret-provider-class.ts'

/** Part of the JavaScript heap, which is limited to 80 MiB (bin/transit-bridge). */
const MAX_BYTES = 8 * 1024 * 1024
/** Several times the interval between two republishes (60 to 90 s; docs/design.md, "CSI content"). */
const IDLE_MS = 5 * 60_000
/** Estimated size of an object without its text, and of an entry without its objects. */
const OBJECT_BYTES = 1024

type Parameters = Readonly<Record<string, string>>
/**
 * Why a class is invalid. Not the Error itself: its stack keeps the frames of its callers alive, which hold the text of
 * the request. The message is a copy, because a substring keeps its whole text alive. See docs/design.md, "Memory
 * bounds".
 */
interface Refusal {
  readonly code: ErrorCode
  readonly message: string
}
type Parsed = SecretProviderClass | Refusal

/** Parsed classes by their text, which is the same in every republish. */
export class ClassCache {
  readonly #parsed: LRUCache<string, Parsed>
  /** One class at a time, with turns for namespaces. Otherwise many large classes delay all reads from the socket. */
  readonly #gate: FairGate
  /** Pods that start together ask for the same class together. */
  readonly #parsing = new Map<string, Promise<Parsed>>()

  constructor(clock: Clock) {
    this.#gate = new FairGate({ maxRunning: 1, maxPerOwner: Infinity, clock })
    this.#parsed = new LRUCache({
      maxSize: MAX_BYTES,
      ttl: IDLE_MS,
      ttlResolution: 0,
      updateAgeOnGet: true,
      perf: { now: () => clock.monotonic() },
    })
  }

  /**
   * Throws CLASS_INVALID. Invalid classes are cached, too, because the kubelet retries them.
   * @param owner the namespace of the pod
   */
  async parse(parameters: Parameters, owner: string): Promise<SecretProviderClass> {
    const id = fingerprint(Object.entries(parameters).flat())
    const parsed =
      this.#parsed.get(id) ?? (await (this.#parsing.get(id) ?? this.#add(id, parameters, owner)))
    if ('message' in parsed) throw new BridgeError(parsed.code, parsed.message)
    return parsed
  }

  #add(id: string, parameters: Parameters, owner: string): Promise<Parsed> {
    const turn = this.#gate.run(owner, () => parseOrRefuse(parameters))
    const parsing = turn.then((parsed) => {
      this.#parsing.delete(id)
      this.#parsed.purgeStale()
      this.#parsed.set(id, parsed, { size: sizeOf(parsed, parameters) })
      return parsed
    })
    this.#parsing.set(id, parsing)
    return parsing
  }

  /** Size of all entries as counted for the limit. */
  get bytes(): number {
    return this.#parsed.calculatedSize
  }
}

/** Substrings keep the whole text alive, so the whole text counts, with two bytes per character. */
function sizeOf(parsed: Parsed, parameters: Parameters): number {
  if ('message' in parsed) return OBJECT_BYTES + 4 * parsed.message.length
  const texts = Object.values(parameters).reduce((sum, text) => sum + text.length, 0)
  return OBJECT_BYTES * (1 + parsed.objects.length) + 2 * texts
}

async function parseOrRefuse(parameters: Parameters): Promise<Parsed> {
  try {
    return await parseClass(parameters)
  } catch (thrown) {
    const { code, message } = BridgeError.from(thrown)
    return { code, message: Buffer.from(message).toString() }
  }
}
