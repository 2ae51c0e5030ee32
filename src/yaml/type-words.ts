import type { BaseIssue } from 'valibot'

/** One issue that valibot found. */
export type Issue = BaseIssue<unknown>

/** The message for a value of the wrong type: the default for schemas without their own message. */
export function explainType(issue: Issue): string {
  if (issue.input === null)
    return `has no value; set it to ${expectedType(issue)}, or remove the key`
  const message = `must be ${expectedType(issue)}, not ${nameType(issue.input)}`
  const wantsText = issue.type === 'string' || issue.type === 'union'
  const isScalar = typeof issue.input === 'number' || typeof issue.input === 'boolean'
  if (wantsText && isScalar) return `${message}; put it in quotes`
  if (issue.type === 'boolean' && typeof issue.input === 'string')
    return `${message}; write it without quotes`
  if (issue.type === 'number' && typeof issue.input === 'string')
    return `${message}; write it without quotes`
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

/** The type of a value in a word, never the value. */
export function nameType(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (typeof value === 'string') return 'text'
  if (typeof value === 'number') return 'a number'
  if (typeof value === 'boolean') return String(value)
  return Array.isArray(value) ? 'a list' : 'a mapping'
}
