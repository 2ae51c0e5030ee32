import { LRUCache } from 'lru-cache'
import type { Clock } from '../../time/clock.ts'
import { BridgeError, type ErrorCode } from '../../errors.ts'
import { fingerprint } from '../volume/content.ts'
import { parseClass, type SecretProviderClass } from './secret-provider-class.ts'

/** Of the JavaScript heap, which is limited to 64 MiB (bin/transit-bridge). */
const MAX_BYTES = 8 * 1024 * 1024
/** Several times what lies between two republishes of the kubelet (60 to 90 s). */
const IDLE_MS = 5 * 60_000
/** What an object takes beside its text, and an entry beside its objects. */
const OBJECT_BYTES = 1024

type Parameters = Readonly<Record<string, string>>
/**
 * What is wrong with a class. Not the error itself: the stack of an Error keeps the frames of its callers alive, and
 * these hold the request with all its text. The message is a copy, since a string that was cut from a text keeps it.
 */
interface Refusal {
  readonly code: ErrorCode
  readonly message: string
}
type Parsed = SecretProviderClass | Refusal

/** Classes by their text, parsed: a republish brings the same text as the one before. */
export class ClassCache {
  readonly #parsed: LRUCache<string, Parsed>

  constructor(clock: Clock) {
    this.#parsed = new LRUCache({
      maxSize: MAX_BYTES,
      ttl: IDLE_MS,
      ttlResolution: 0,
      updateAgeOnGet: true,
      perf: { now: () => clock.monotonic() },
    })
  }

  /** Throws CLASS_INVALID; an invalid class stays invalid, and the kubelet asks for it again. */
  parse(parameters: Parameters): SecretProviderClass {
    const id = fingerprint(Object.entries(parameters).flat())
    const parsed = this.#parsed.get(id) ?? this.#add(id, parameters)
    if ('message' in parsed) throw new BridgeError(parsed.code, parsed.message)
    return parsed
  }

  #add(id: string, parameters: Parameters): Parsed {
    const parsed = parseOrRefuse(parameters)
    this.#parsed.purgeStale()
    this.#parsed.set(id, parsed, { size: sizeOf(parsed, parameters) })
    return parsed
  }

  /** Bytes that the entries count as. */
  get bytes(): number {
    return this.#parsed.calculatedSize
  }
}

/** Strings that were cut from a text keep all of it, so the text is counted, at two bytes a character. */
function sizeOf(parsed: Parsed, parameters: Parameters): number {
  if ('message' in parsed) return OBJECT_BYTES + 4 * parsed.message.length
  const texts = Object.values(parameters).reduce((sum, text) => sum + text.length, 0)
  return OBJECT_BYTES * (1 + parsed.objects.length) + 2 * texts
}

function parseOrRefuse(parameters: Parameters): Parsed {
  try {
    return parseClass(parameters)
  } catch (thrown) {
    const { code, message } = BridgeError.from(thrown)
    return { code, message: Buffer.from(message).toString() }
  }
}
