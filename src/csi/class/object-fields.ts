import type { Fault } from '../../yaml/fault.ts'
import { findNearest, listChoices } from '../../text/nearest.ts'
import { nameType } from '../../yaml/type-words.ts'

/** Longest part of a value that a message quotes. */
const MAX_SHOWN = 40
/** Most unknown fields that are reported: the search for similar names takes time for each. */
const MAX_UNKNOWN = 20
/** Standard base64 with padding, as in Vault's API. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/

/** Required form of a text. */
export interface TextRule {
  readonly pattern: RegExp
  /** The fault otherwise, which completes the name of the field: "is not …; use …". */
  readonly otherwise: string
}

/** Reads the fields of one mapping. Collects faults, so that all are reported at once. */
export class FieldReader {
  readonly #place: string
  readonly #fields: Readonly<Record<string, unknown>>
  readonly #faults: Fault[]

  /** @param place prefix of the field in messages: "objects[2]." */
  constructor(place: string, fields: Readonly<Record<string, unknown>>, faults: Fault[]) {
    this.#place = place
    this.#fields = fields
    this.#faults = faults
  }

  /** Adds a fault. `text` completes the name of the field: "is not …; use …". */
  fault(name: string, text: string): void {
    const cut = text.indexOf('; ')
    const path = `${this.#place}${name}`
    this.#faults.push(
      cut < 0
        ? { path, message: text }
        : { path, message: text.slice(0, cut), hint: text.slice(cut + 2) },
    )
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
      const inQuotes = typeof value === 'number' || typeof value === 'boolean'
      this.fault(
        name,
        `must be text, not ${nameType(value)}${inQuotes ? '; put it in quotes' : ''}`,
      )
      return undefined
    }
    if (rule === undefined || rule.pattern.test(value)) return value
    this.fault(name, rule.otherwise)
    return undefined
  }

  choice<const T extends string>(name: string, choices: readonly T[]): T | undefined {
    const value = this.#fields[name]
    const found = choices.find((choice) => choice === value)
    if (found !== undefined) return found
    if (typeof value !== 'string') {
      this.fault(name, `must be text, not ${nameType(value)}; write ${listChoices(choices)}`)
      return undefined
    }
    const nearest = findNearest(value.slice(0, MAX_SHOWN), choices)
    const hint = nearest === undefined ? `write ${listChoices(choices)}` : `did you mean ${nearest}`
    this.fault(name, `is not known: ${show(value)}; ${hint}`)
    return undefined
  }

  toggle(name: string): boolean {
    if (!this.has(name)) return false
    const value = this.#fields[name]
    if (typeof value === 'boolean') return value
    this.fault(name, `must be true or false, not ${nameType(value)}`)
    return false
  }

  bytes(name: string): Buffer | undefined {
    if (!this.has(name)) return undefined
    const otherwise = 'is not base64; use standard base64 with padding'
    const text = this.text(name, '', { pattern: BASE64, otherwise })
    return text === undefined ? undefined : Buffer.from(text, 'base64')
  }

  /** Returns a number from 1, `latest` (the default) or `all`. */
  version(name: string): number | 'latest' | 'all' {
    if (!this.has(name)) return 'latest'
    const value = this.#fields[name]
    if (value === 'latest' || value === 'all') return value
    const isScalar = typeof value === 'number' || typeof value === 'string'
    if (isScalar && /^[1-9][0-9]{0,8}$/.test(String(value))) return Number(value)
    const shown = typeof value === 'string' ? `: ${show(value)}` : ''
    this.fault(name, `is not a version${shown}; write a number from 1, latest or all`)
    return 'latest'
  }

  /** Adds a fault for every unknown field, with a suggestion. */
  refuseOthers(known: readonly string[], explain: (name: string) => string | undefined): void {
    const unknown = Object.keys(this.#fields).filter((name) => !known.includes(name))
    for (const name of unknown.slice(0, MAX_UNKNOWN)) {
      const shown = /^[\w.-]{1,64}$/.test(name) ? name : show(name)
      const nearest = findNearest(name.slice(0, MAX_SHOWN), known)
      const hint =
        explain(name) ??
        (nearest === undefined ? `known here: ${known.join(', ')}` : `did you mean ${nearest}`)
      this.fault(shown, `is not known; ${hint}`)
    }
  }
}

/** Quotes the beginning of a value for a message, on one line. */
export function show(value: string): string {
  return JSON.stringify(value.length > MAX_SHOWN ? `${value.slice(0, MAX_SHOWN)}…` : value)
}
