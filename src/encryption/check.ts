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
  /** kms.socket of the plugin; without it nobody looks whether a provider leads there. */
  readonly socket?: string
}

/**
 * Says of an EncryptionConfiguration, in the order of its lines, all that kube-apiserver would refuse, and what it would
 * take though it is unsafe.
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
    refused.push({ at: ['resources'], message: 'holds no rule', hint: 'add one for secrets' })
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
    ...(hint === undefined ? {} : { hint }),
    line: source.lineOf(path),
  }
}

/** kube-apiserver reads YAML 1.1, to which `yes`, `no`, `on` and `off` without quotes are no texts (sigs.k8s.io/yaml). */
function withOldBooleans(value: unknown, text: string): unknown {
  try {
    return pickBooleans(value, parse(text, { version: '1.1', logLevel: 'silent' }))
  } catch {
    // What the older version cannot read at all is rare enough to be left to kube-apiserver.
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
