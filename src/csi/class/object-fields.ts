import { splitMessage, type Fault } from '../../yaml/fault.ts'
import { findNearest, suggestChoice } from '../../text/nearest.ts'
import { explainWrongType, showValue } from '../../yaml/type-words.ts'

/** Longest text that is compared with known names: the comparison takes quadratic time. */
const MAX_COMPARED = 40
/** Maximum number of unknown fields in a report: each is compared with all known names. */
const MAX_UNKNOWN = 20
/** Standard base64 with padding, as in Vault's API. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Required form of a text. */
export interface TextRule {
  readonly pattern: Pick<RegExp, 'test'>
  /** What is wrong with any other text: "is not …; use …". */
  readonly message: string
}

/** Reads the fields of one mapping. Collects faults, so that all are reported at once. */
export class FieldReader {
  readonly #prefix: string
  readonly #fields: Readonly<Record<string, unknown>>
  readonly #faults: Fault[]

  /** @param prefix of field names in messages: "objects[2]." */
  constructor(prefix: string, fields: Readonly<Record<string, unknown>>, faults: Fault[]) {
    this.#prefix = prefix
    this.#fields = fields
    this.#faults = faults
  }

  /** Adds a fault of a field: "is not …; use …". */
  fault(name: string, text: string): void {
    this.#faults.push({ path: `${this.#prefix}${name}`, ...splitMessage(text) })
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#fields, name)
  }

  /** Returns a required text, or undefined after a fault. */
  text(name: string, meaning: string, rule?: TextRule): string | undefined {
    if (!this.has(name)) {
      this.fault(name, `is missing; ${meaning}`)
      return undefined
    }
    const value = this.#fields[name]
    if (typeof value !== 'string') {
      this.fault(name, explainWrongType(value, 'text'))
      return undefined
    }
    if (rule === undefined || rule.pattern.test(value)) return value
    this.fault(name, rule.message)
    return undefined
  }

  /** Returns a required list of texts, or undefined after a fault. */
  texts(name: string, meaning: string, rule: TextRule): readonly string[] | undefined {
    const value = this.#fields[name]
    if (!Array.isArray(value)) {
      this.fault(name, explainWrongType(value, 'a list'))
      return undefined
    }
    const items = Object.fromEntries(
      value.map((item: unknown, index) => [`[${String(index)}]`, item]),
    )
    const reader = new FieldReader(`${this.#prefix}${name}`, items, this.#faults)
    const texts = Object.keys(items).map((index) => reader.text(index, meaning, rule))
    return texts.every((text) => text !== undefined) ? texts : undefined
  }

  /** Like {@link choice}, but the field may be missing. */
  optionalChoice<const T extends string>(name: string, choices: readonly T[]): T | undefined {
    return this.has(name) ? this.choice(name, choices) : undefined
  }

  choice<const T extends string>(name: string, choices: readonly T[]): T | undefined {
    const value = this.#fields[name]
    const found = choices.find((choice) => choice === value)
    if (found !== undefined) return found
    const compared = typeof value === 'string' ? value.slice(0, MAX_COMPARED) : value
    const problem = value === null ? 'has no value' : `${showValue(value)} is not supported`
    this.fault(name, `${problem}; ${suggestChoice(compared, choices)}`)
    return undefined
  }

  toggle(name: string): boolean {
    if (!this.has(name)) return false
    const value = this.#fields[name]
    if (typeof value === 'boolean') return value
    this.fault(name, explainWrongType(value, 'true or false'))
    return false
  }

  bytes(name: string): Buffer | undefined {
    if (!this.has(name)) return undefined
    const message = 'is not base64; use standard base64 with padding'
    const text = this.text(name, '', { pattern: BASE64, message })
    return text === undefined ? undefined : Buffer.from(text, 'base64')
  }

  /** Returns a number from 1, `latest` (the default) or `all`. */
  version(name: string): number | 'latest' | 'all' {
    if (!this.has(name)) return 'latest'
    const value = this.#fields[name]
    if (value === 'latest' || value === 'all') return value
    const isScalar = typeof value === 'number' || typeof value === 'string'
    if (isScalar && /^[1-9][0-9]{0,8}$/.test(String(value))) return Number(value)
    this.fault(
      name,
      `must be a version, not ${showValue(value)}; use a number from 1, latest or all`,
    )
    return 'latest'
  }

  /** Adds a fault for each unknown field. `explain` returns the text for a name that is not a typo. */
  refuseOthers(known: readonly string[], explain: (name: string) => string | undefined): void {
    const unknown = Object.keys(this.#fields).filter((name) => !known.includes(name))
    let isListed = false
    for (const name of unknown.slice(0, MAX_UNKNOWN)) {
      const shown = /^[\w.-]{1,64}$/.test(name) ? name : showValue(name)
      const nearest = findNearest(name.slice(0, MAX_COMPARED), known)
      const list = isListed ? '' : `; known fields: ${known.join(', ')}`
      const hint = nearest === undefined ? list : `; did you mean ${nearest}?`
      // The list is long, so it is shown once.
      if (nearest === undefined) isListed = true
      this.fault(shown, explain(name) ?? `is not a known field${hint}`)
    }
  }
}
