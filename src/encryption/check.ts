import { formatPath, type Path } from '../yaml/fault.ts'
import type { GoSource } from '../yaml/go/read.ts'
import type { Source } from '../yaml/source.ts'
import type { Problem } from './decoder.ts'
import { decodeDocument } from './document.ts'
import type { EncryptionFault, Severity } from './fault.ts'
import { checkProviders } from './provider-rules.ts'
import { checkResources } from './resource-rules.ts'
import { readEncryptionText } from './text.ts'
import { checkSafety, type CheckOptions } from './safety.ts'

/**
 * Returns, in the order of the lines, what kube-apiserver rejects in an EncryptionConfiguration and what it accepts although
 * it is unsafe.
 */
export function checkEncryptionConfig(
  text: string,
  options: CheckOptions = {},
): readonly EncryptionFault[] {
  if (text === '') return [{ severity: 'refused', path: '', message: 'the file is empty' }]
  const source = readEncryptionText(text)
  if (!('value' in source)) return source.map((fault) => ({ severity: 'refused', ...fault }))
  const { document, problems } = decodeDocument(source.value)
  const { isLegacy, rules } = document
  const refused = [...problems, ...checkProviders(rules), ...checkResources(rules)]
  if (rules.length === 0) {
    refused.push({ at: ['resources'], message: 'has no rule', hint: 'add one for secrets' })
  }
  const found = [
    ...findIgnored(source),
    ...(isLegacy ? [locate(LEGACY_KIND, 'note', source)] : []),
    ...refused.map((problem) => locate(problem, 'refused', source)),
    ...checkSafety(rules, options).map((problem) => locate(problem, problem.severity, source)),
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

const LEGACY_KIND: Problem = {
  at: ['kind'],
  message: 'is the old name, which kube-apiserver still accepts',
  hint: 'write kind: EncryptionConfiguration and apiVersion: apiserver.config.k8s.io/v1',
}

/** Kubernetes' decoder stops after the first document. */
function findIgnored({ ignoredLine }: GoSource): readonly EncryptionFault[] {
  if (ignoredLine === undefined) return []
  const message = 'a second document starts here, and kube-apiserver ignores it'
  const hint = 'write one document with all rules'
  return [{ severity: 'unsafe', path: '', message, hint, line: ignoredLine }]
}
