import type { BaseIssue } from 'valibot'

import { quotedStart } from '../text/quoted.ts'

/** One issue that valibot found. */
export type Issue = BaseIssue<unknown>

/** The message for a value of the wrong type: the default for schemas without their own message. */
export function explainType(issue: Issue): string {
  return explainWrongType(issue.input, expectedType(issue))
}

/** The message for a value of the wrong type. `expected` is one of the texts of {@link expectedType}. */
export function explainWrongType(value: unknown, expected: string): string {
  if (value === null) return `has no value; set it to ${expected}, or remove it`
  const message = `must be ${expected}, not ${nameType(value)}`
  const isScalar = typeof value === 'number' || typeof value === 'boolean'
  if (expected.startsWith('text') && isScalar) return `${message}; put it in quotes`
  const wantsScalar = expected === 'true or false' || expected === 'a number'
  if (wantsScalar && typeof value === 'string') return `${message}; write it without quotes`
  return message
}

function expectedType(issue: Issue): string {
  if (issue.type === 'string') return 'text'
  if (issue.type === 'number') return 'a number'
  if (issue.type === 'boolean') return 'true or false'
  if (issue.type === 'array') return 'a list'
  if (issue.type === 'union')
    return issue.expected?.includes('Array') === true ? 'text or a list' : 'text or a number'
  return 'a mapping'
}

/** Longest text that a message quotes. */
const MAX_SHOWN = 40

/** A value as messages quote it, on one line: the beginning of a text, a number, or else only the type. */
export function showValue(value: unknown): string {
  if (typeof value === 'number') return String(value)
  if (typeof value !== 'string') return nameType(value)
  return quotedStart(value, MAX_SHOWN)
}

/** The type of a value in a word, never the value. */
export function nameType(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (typeof value === 'string') return 'text'
  if (typeof value === 'number') return 'a number'
  if (typeof value === 'boolean') return String(value)
  return Array.isArray(value) ? 'a list' : 'a mapping'
}
