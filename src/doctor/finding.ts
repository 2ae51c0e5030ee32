import { BridgeError } from '../errors.ts'
import { escapeControls } from '../text/one-line.ts'

/** ok: works. warn: works, but could be better. fail: must be fixed. unknown: could not be checked. */
export type Level = 'ok' | 'warn' | 'fail' | 'unknown'

/** The result of one check. */
export interface Finding {
  readonly level: Level
  /** What was checked, in a word or two: "login file". */
  readonly what: string
  /** What was found. */
  readonly why: string
  /** What to do. */
  readonly fix?: string | undefined
}

export function ok(what: string, why: string): Finding {
  return { level: 'ok', what, why }
}

export function warn(what: string, why: string, fix?: string): Finding {
  return { level: 'warn', what, why, fix }
}

export function fail(what: string, why: string, fix?: string): Finding {
  return { level: 'fail', what, why, fix }
}

/** The checks that can be unknown. */
const UNKNOWN_CHECKS = [
  'api server',
  'audit',
  'client certificate',
  'configuration',
  'encryption',
  'key',
  'key upsert',
  'login',
  'login file',
  'node',
  'node key',
  'node key credential',
  'policy',
  'runtime audience',
  'runtime policy',
  'runtime socket',
  'runtime state',
  'sealed file',
  'socket',
  'socket rights',
  'vault tls',
] as const

export type UnknownCheck = (typeof UNKNOWN_CHECKS)[number]

/** Their names as typed in an option. */
export const UNKNOWN_NAMES: readonly string[] = UNKNOWN_CHECKS.map(typedName)

/** With hyphens instead of spaces. */
function typedName(what: string): string {
  return what.replaceAll(' ', '-')
}

/** What to do about a check that needs Vault. */
export const VAULT_FIRST = 'fix Vault first'

export function unknown(what: UnknownCheck, why: string, fix?: string): Finding {
  return { level: 'unknown', what, why, fix }
}

/** The message of an expected error; an internal error is thrown again. */
export function wordsOf(thrown: unknown): string {
  const error = BridgeError.from(thrown)
  if (error.code === 'INTERNAL') throw error
  return error.message
}

/** Findings as lines: `fail     token file: expires in 50 min; refresh it`. */
export function formatFindings(findings: readonly Finding[]): string {
  return findings
    .map(({ level, what, why, fix }) => {
      const line = `${level.padEnd(7)}  ${what}: ${why}${fix === undefined ? '' : `; ${fix}`}`
      return escapeControls(line)
    })
    .join('\n')
}

/**
 * The names of checks that could not be made, without those that the operator accepts, as typed in an option: with
 * hyphens instead of spaces.
 */
export function findUnchecked(
  findings: readonly Finding[],
  accepted: readonly string[],
): readonly string[] {
  const names = findings
    .filter(({ level }) => level === 'unknown')
    .map(({ what }) => typedName(what))
  return [...new Set(names)].filter((name) => !accepted.includes(name))
}
