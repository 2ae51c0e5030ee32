import type { LoadResult } from '../latency.ts'
import { milliseconds, perSecond, type Row } from '../table.ts'
import type { Kind } from './subjects.ts'

export type Measured = ReadonlyMap<Kind, LoadResult>

/** What a ratio must be at least or at most for a release. */
type Bound = { readonly atLeast: number } | { readonly atMost: number }

/** The p99 of 64 callers divided by their p50: one caller must not wait much longer than another. */
const MAX_SPREAD = 4

/**
 * Goals as ratios of direct decrypts in the same run. They follow from the figures of a Go plugin on the machine where both were
 * measured: 0.95 of its Decrypt, half of its Encrypt (docs/performance.md).
 */
const LONE: Partial<Record<Kind, Bound>> = {
  status: { atMost: 0.43 },
  decrypt: { atMost: 1.7 },
  encrypt: { atMost: 1.86 },
  localDecrypt: { atMost: 0.5 },
  localEncrypt: { atMost: 0.5 },
}

const MANY: Partial<Record<Kind, Bound>> = {
  decrypt: { atLeast: 2.5 },
  encrypt: { atLeast: 2 },
  localDecrypt: { atLeast: 4 },
  localEncrypt: { atLeast: 4 },
}

const NAMES: Record<Kind, string> = {
  direct: 'direct decrypt',
  directAsRoot: 'direct decrypt as root, without policies to check',
  decrypt: 'Decrypt',
  encrypt: 'Encrypt',
  localDecrypt: 'Decrypt with local keys',
  localEncrypt: 'Encrypt with local keys',
  status: 'Status',
  peerDecrypt: 'vault-kubernetes-kms: Decrypt',
  peerEncrypt: 'vault-kubernetes-kms: Encrypt',
  peerStatus: 'vault-kubernetes-kms: Status',
}

/** Rows of single calls and of concurrent ones. */
export function makeCallRows(one: Measured, many: Measured, callers: number): Row[] {
  const base = { one: required(one, 'direct'), many: required(many, 'direct') }
  return [
    ...[...one].flatMap(([kind, result]) => [
      {
        what: `${NAMES[kind]}, 1 caller: p50`,
        value: milliseconds(result.p50),
        ...judge(result.p50 / base.one.p50, LONE[kind]),
      },
      { what: `${NAMES[kind]}, 1 caller: p99`, value: milliseconds(result.p99) },
    ]),
    ...[...many].flatMap(([kind, result]) => [
      {
        what: `${NAMES[kind]}, ${String(callers)} callers`,
        value: perSecond(result.perSecond),
        ...judge(result.perSecond / base.many.perSecond, MANY[kind]),
      },
      spreadRow(
        `${NAMES[kind]}, ${String(callers)} callers: p99`,
        result,
        MANY[kind] !== undefined,
      ),
    ]),
  ]
}

/** A ratio, and whether it reaches its bound. */
export function judge(
  ratio: number,
  bound: Bound | undefined,
): Pick<Row, 'ratio' | 'target' | 'ok'> {
  if (bound === undefined) return { ratio }
  return 'atMost' in bound
    ? { ratio, target: `<= ${String(bound.atMost)}`, ok: ratio <= bound.atMost }
    : { ratio, target: `>= ${String(bound.atLeast)}`, ok: ratio >= bound.atLeast }
}

function spreadRow(what: string, result: LoadResult, isBound: boolean): Row {
  const row = { what, value: milliseconds(result.p99) }
  if (!isBound) return row
  const ok = result.p99 <= MAX_SPREAD * result.p50
  return { ...row, target: `<= ${String(MAX_SPREAD)} x p50`, ok }
}

function required(measured: Measured, kind: Kind): LoadResult {
  const result = measured.get(kind)
  if (result === undefined) throw new Error(`${kind} was not measured`)
  return result
}
