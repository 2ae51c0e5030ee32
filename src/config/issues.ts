import { formatPath, splitMessage, type Fault, type Path } from '../yaml/fault.ts'
import { explainType, showValue, type Issue } from '../yaml/type-words.ts'
import { suggestChoice } from '../text/nearest.ts'
import { findEntries, findListsForMappings } from './shape.ts'
import { explainUnknownKey, findMeantKey } from './unknown-key.ts'

/** What the message of a fault needs besides valibot's issue. */
export interface FileContext {
  /** The whole file as a value, with variables replaced. */
  readonly value: unknown
  /** By path, the text of values that contain variables: shown instead of what the environment contains. */
  readonly written: ReadonlyMap<string, string>
}

/** A fault with its path as keys and indexes. */
export type LocatedFault = Fault & { readonly at: Path }

/** At most one fault for each path, with a message of this program. */
export function describeIssues(
  issues: readonly Issue[],
  context: FileContext,
): readonly LocatedFault[] {
  const lists = findListsForMappings(context.value)
  const listFaults = lists.map((at) => locate(at, { message: 'must be a mapping, not a list' }))
  const faults = new Map(listFaults.map((fault) => [fault.path, fault]))
  const isInList = (issue: Issue) => lists.some((list) => startsWith(pathOf(issue), list))
  for (const issue of issues.flatMap(openUnion)) {
    if (isInList(issue)) continue
    const fault = describe(issue, context)
    // Of several issues of one value, the schema reports the one to fix first at the beginning.
    if (fault !== undefined && !faults.has(fault.path)) faults.set(fault.path, fault)
  }
  return [...faults.values()]
}

/** An issue of "this or a list of this" becomes the issues of the alternative that was meant. */
function openUnion(issue: Issue): readonly Issue[] {
  if (issue.type !== 'union' || issue.issues === undefined) return [issue]
  const deeper = issue.issues.filter((inner) => inner.path !== undefined)
  if (deeper.length === 0) return [{ ...issue, message: explainType(issue) }]
  return deeper.map(
    (inner) => ({ ...inner, path: [...(issue.path ?? []), ...(inner.path ?? [])] }) as Issue,
  )
}

function describe(issue: Issue, context: FileContext): LocatedFault | undefined {
  const at = pathOf(issue)
  if (issue.path?.at(-1)?.origin === 'key') return describeKey(issue, at, context)
  if (issue.type === 'picklist' || issue.type === 'literal' || isWrongOption(issue)) {
    return locate(at, describeChoice(issue, at, context))
  }
  const message = issue.message.replaceAll('{value}', () => show(issue.input, at, context))
  return locate(at, splitMessage(message))
}

function isWrongOption(issue: Issue): boolean {
  return issue.type === 'variant' && (issue.path?.length ?? 0) > 0 && issue.expected !== 'Object'
}

function describeKey(issue: Issue, at: Path, context: FileContext): LocatedFault | undefined {
  if (issue.expected !== 'never') return describeMissing(at, context.value)
  return locate(at, explainUnknownKey(at.slice(0, -1), String(at.at(-1)), context.value))
}

/** The fault of a missing key; undefined if the file contains it misspelled. */
export function describeMissing(at: Path, value: unknown): LocatedFault | undefined {
  const parent = at.slice(0, -1)
  const key = String(at.at(-1))
  // A misspelled key is one fault, not two: the line that shows the meant key is enough.
  if (findMeantKey(parent, value).has(key)) return undefined
  return locate(at, { message: 'is missing', hint: explainMissing(parent, key, value) })
}

function explainMissing(parent: Path, key: string, value: unknown): string {
  const entry = findEntries(parent, value).get(key)
  return firstSentence(entry?.description ?? '')
}

/** "Role to log in as. More." as "role to log in as"; a word in capitals stays as it is. */
function firstSentence(text: string): string {
  const [sentence = ''] = text.split(/\.(?:\s|$)|[:;] /)
  return /^[A-Z][a-z ]/.test(sentence)
    ? sentence.charAt(0).toLowerCase() + sentence.slice(1)
    : sentence
}

function describeChoice(
  issue: Issue,
  at: Path,
  context: FileContext,
): Pick<Fault, 'message' | 'hint'> {
  // What valibot expects is written `("a" | "b")`, with `undefined` for a default.
  const choices = [...(issue.expected ?? '').matchAll(/"([^"]+)"/g)].map(([, word = '']) => word)
  return {
    message:
      issue.input === null ? 'has no value' : `${show(issue.input, at, context)} is not supported`,
    hint: suggestChoice(issue.input, choices),
  }
}

/** A value as messages show it: never the content of a variable. */
function show(input: unknown, at: Path, context: FileContext): string {
  const written = context.written.get(formatPath(at))
  return written === undefined ? showValue(input) : `the value of ${written}`
}

function pathOf(issue: Issue): Path {
  return (issue.path ?? []).map(({ key }) => (typeof key === 'number' ? key : String(key)))
}

function startsWith(path: Path, beginning: Path): boolean {
  return beginning.every((part, index) => path[index] === part)
}

function locate(at: Path, text: Pick<Fault, 'message' | 'hint'>): LocatedFault {
  return { at, path: formatPath(at), ...text }
}
