import type { Capability, Right, Values } from '../operator/right.ts'
import type { Secret } from '../secret.ts'

/** A setting whose value comes from a file and never appears in a plan. */
export interface SecretFile {
  readonly path: string
  readonly content: Secret<string>
}

/** One request that changes one thing in Vault. */
export interface Change {
  readonly action: 'add' | 'change' | 'remove'
  /** "role transit-bridge-kms at auth/jwt/" */
  readonly what: string
  /** The new value, or what changes: "bound_audiences: other, vault -> vault". */
  readonly details: readonly string[]
  /** What was wider than necessary, one sentence each. */
  readonly wider: readonly string[]
  readonly path: string
  /** Absent: the path is deleted. */
  readonly body?: Values | undefined
  /** Settings of the body that no output may show, by name. */
  readonly secrets?: Readonly<Record<string, SecretFile>> | undefined
  /** Vault does not show what this change writes, so a later plan contains it again. */
  readonly unreadable?: boolean | undefined
  readonly right: Right
}

/** A message beside the changes. With `stop`, nothing is changed until the operator decides. */
export interface Remark {
  readonly level: 'note' | 'warn' | 'stop'
  readonly text: string
}

export function isStop({ level }: Remark): boolean {
  return level === 'stop'
}

/** What must change in Vault, in this order, with remarks. */
export interface Plan {
  readonly changes: readonly Change[]
  readonly remarks: readonly Remark[]
}

export const NOTHING: Plan = { changes: [], remarks: [] }

/** Several plans as one, in their order. */
export function join(...plans: readonly Plan[]): Plan {
  return {
    changes: plans.flatMap(({ changes }) => changes),
    remarks: plans.flatMap(({ remarks }) => remarks),
  }
}

export function remark(level: Remark['level'], text: string): Plan {
  return { changes: [], remarks: [{ level, text: onOneLine(text) }] }
}

/** A plan of one change. */
export function change(
  given: Omit<Change, 'details' | 'wider' | 'right'> &
    Partial<Pick<Change, 'details' | 'wider'>> & { readonly needs: readonly Capability[] },
): Plan {
  const { needs, details = [], wider = [], ...rest } = given
  const right = { path: given.path, capabilities: needs }
  const texts = { details: details.map(onOneLine), wider: wider.map(onOneLine) }
  return { changes: [{ ...rest, ...texts, right }], remarks: [] }
}

/** Texts quote values from Vault: a newline in one must not become a line of a plan or of a shell's input. */
function onOneLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
}
