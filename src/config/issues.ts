import type { BaseIssue } from 'valibot'

import { formatPath, splitMessage, type Fault, type Path } from './fault.ts'
import { findNearest, listChoices } from './nearest.ts'
import { findEntries } from './shape.ts'
import { explainUnknownKey, findMeantKey } from './unknown-key.ts'

export type Issue = BaseIssue<unknown>

/** What a fault is told from, beside valibot's issue. */
export interface Situation {
  /** The whole file as a value, after variables were put in. */
  readonly value: unknown
  /** By path, the text of values that hold variables: shown instead of what the environment gave. */
  readonly written: ReadonlyMap<string, string>
}

/** A fault with its place in a form that can be looked up. */
export type LocatedFault = Fault & { readonly at: Path }

/** One fault for every place that has one, in words of ours. */
export function describeIssues(
  issues: readonly Issue[],
  situation: Situation,
): readonly LocatedFault[] {
  const faults = new Map<string, LocatedFault>()
  for (const issue of issues.flatMap(openUnion)) {
    const fault = describe(issue, situation)
    // Of several complaints about one value the first is the one to mend: the schema puts it first.
    if (fault !== undefined && !faults.has(fault.path)) faults.set(fault.path, fault)
  }
  return [...faults.values()]
}

/** An issue of "this or a list of this" becomes the issues of the side that was meant. */
function openUnion(issue: Issue): readonly Issue[] {
  if (issue.type !== 'union' || issue.issues === undefined) return [issue]
  const deeper = issue.issues.filter((inner) => inner.path !== undefined)
  if (deeper.length === 0) return [{ ...issue, message: explainType(issue) }]
  return deeper.map(
    (inner) => ({ ...inner, path: [...(issue.path ?? []), ...(inner.path ?? [])] }) as Issue,
  )
}

function describe(issue: Issue, situation: Situation): LocatedFault | undefined {
  const at = pathOf(issue)
  const listAt =
    issue.path?.findIndex(({ type, input }) => type === 'object' && Array.isArray(input)) ?? -1
  // valibot takes a list for an object; nothing below it is worth a message.
  if (listAt >= 0) return locate(at.slice(0, listAt), { message: 'must be a mapping, not a list' })
  if (issue.path?.at(-1)?.origin === 'key') return describeKey(issue, at, situation)
  if (issue.type === 'picklist' || issue.type === 'literal' || isWrongOption(issue)) {
    return locate(at, describeChoice(issue, at, situation))
  }
  const shown = show(issue.input, at, situation)
  return locate(at, splitMessage(issue.message.replaceAll('{value}', shown)))
}

function isWrongOption(issue: Issue): boolean {
  return issue.type === 'variant' && (issue.path?.length ?? 0) > 0 && issue.expected !== 'Object'
}

function describeKey(issue: Issue, at: Path, situation: Situation): LocatedFault | undefined {
  const parent = at.slice(0, -1)
  const key = String(at.at(-1))
  if (issue.expected === 'never') return locate(at, explainUnknownKey(parent, key, situation.value))
  // A misspelt key is one fault, not two: the line that says what was meant is enough.
  if (findMeantKey(parent, situation.value).has(key)) return undefined
  return locate(at, { message: 'is missing', hint: explainMissing(parent, key, situation.value) })
}

function explainMissing(parent: Path, key: string, value: unknown): string {
  const entry = findEntries(parent, value).get(key)
  return firstSentence(entry?.description ?? '')
}

/** "Role to log in as. More." as "role to log in as"; words all in capitals stay as they are. */
function firstSentence(text: string): string {
  const [sentence = ''] = text.split(/\.(?:\s|$)|[:;] /)
  return /^[A-Z][a-z ]/.test(sentence)
    ? sentence.charAt(0).toLowerCase() + sentence.slice(1)
    : sentence
}

function describeChoice(
  issue: Issue,
  at: Path,
  situation: Situation,
): Pick<Fault, 'message' | 'hint'> {
  const choices = (issue.expected ?? '').match(/[^"|() ]+/g) ?? []
  const nearest = typeof issue.input === 'string' ? findNearest(issue.input, choices) : undefined
  const allowed =
    choices.length === 1 ? `the only word here is ${choices[0]}` : `write ${listChoices(choices)}`
  return {
    message: `is not known: ${show(issue.input, at, situation)}`,
    hint: nearest === undefined ? allowed : `did you mean ${nearest}`,
  }
}

/** What is shown of a value in a message: never what a variable held, and never much. */
function show(input: unknown, at: Path, situation: Situation): string {
  const written = situation.written.get(formatPath(at))
  if (written !== undefined) return `the value of ${written}`
  if (typeof input === 'number') return String(input)
  if (typeof input !== 'string') return nameType(input)
  return JSON.stringify(input.length > 40 ? `${input.slice(0, 40)}…` : input)
}

/** The message for a value of the wrong type; given to valibot for every schema that has none of its own. */
export function explainType(issue: Issue): string {
  if (issue.input === null)
    return `has no value; give it ${expectedType(issue)}, or take the key away`
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

function nameType(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (typeof value === 'string') return 'text'
  if (typeof value === 'number') return 'a number'
  if (typeof value === 'boolean') return String(value)
  return Array.isArray(value) ? 'a list' : 'a mapping'
}

function pathOf(issue: Issue): Path {
  return (issue.path ?? []).map(({ key }) => (typeof key === 'number' ? key : String(key)))
}

function locate(at: Path, text: Pick<Fault, 'message' | 'hint'>): LocatedFault {
  return { at, path: formatPath(at), ...text }
}
