import { parse } from 'yaml'

import { formatPath, type Path } from '../yaml/fault.ts'
import { readYaml, type Source } from '../yaml/source.ts'
import type { Problem } from './decoder.ts'
import { decodeDocument } from './document.ts'
import type { EncryptionFault, Severity } from './fault.ts'
import { checkProviders } from './provider-rules.ts'
import { checkResources } from './resource-rules.ts'
import { checkSafety } from './safety.ts'

export interface CheckOptions {
  /** kms.socket of the plugin; without it, the endpoints are not compared with it. */
  readonly socket?: string | undefined
}

/**
 * Returns, in the order of the lines, what kube-apiserver rejects in an EncryptionConfiguration and what it accepts although
 * it is unsafe.
 */
export function checkEncryptionConfig(
  text: string,
  { socket }: CheckOptions = {},
): readonly EncryptionFault[] {
  if (text === '') return [{ severity: 'refused', path: '', message: 'the file is empty' }]
  const source = readYaml(text)
  if (!('value' in source)) return source.map((fault) => ({ severity: 'refused', ...fault }))
  const { document, problems } = decodeDocument(withOldBooleans(source.value, text))
  const { rules } = document
  const refused = [...problems, ...checkProviders(rules), ...checkResources(rules)]
  if (rules.length === 0) {
    refused.push({ at: ['resources'], message: 'has no rule', hint: 'add one for secrets' })
  }
  const found = [
    ...refused.map((problem) => locate(problem, 'refused', source)),
    ...checkSafety(rules, socket).map((problem) => locate(problem, problem.severity, source)),
  ]
  return found.toSorted((one, other) => (one.line ?? 0) - (other.line ?? 0))
}

function locate(problem: Problem, severity: Severity, source: Source): EncryptionFault {
  const { at, message, hint } = problem
  const path: Path = at
  return {
    severity,
    path: formatPath(path),
    message,
    hint,
    line: source.lineOf(path),
  }
}

/** `uniqueKeys` compares each key with every other, and readYaml has found duplicates already. */
const OLD_YAML = { version: '1.1', logLevel: 'silent', uniqueKeys: false } as const

/** kube-apiserver reads YAML 1.1, in which unquoted `yes`, `no`, `on` and `off` are booleans (sigs.k8s.io/yaml). */
function withOldBooleans(value: unknown, text: string): unknown {
  try {
    return pickBooleans(value, parse(text, OLD_YAML))
  } catch {
    // Not valid YAML 1.1: the value of YAML 1.2 is checked.
    return value
  }
}

function pickBooleans(value: unknown, old: unknown): unknown {
  if (typeof value === 'string') return typeof old === 'boolean' ? old : value
  if (typeof value !== 'object' || value === null || typeof old !== 'object' || old === null)
    return value
  if (Array.isArray(value))
    return value.map((item: unknown, index) => pickBooleans(item, (old as unknown[])[index]))
  const fields = Object.entries(value as Record<string, unknown>)
  return Object.fromEntries(
    fields.map(([name, item]) => [
      name,
      pickBooleans(item, (old as Record<string, unknown>)[name]),
    ]),
  )
}
