/** The result of a check; "not checked" is never a success. */
export type Verdict = {
  readonly kind: 'clean' | 'finding' | 'not checked'
  readonly text: string
}

type Lock = { readonly packages?: Readonly<Record<string, LockedPackage>> }
type LockedPackage = {
  readonly integrity?: string
  readonly resolved?: string
  readonly link?: boolean
  readonly version?: string
}

const SHA512 = /^sha512-[A-Za-z0-9+/]{86}==$/

/** What is wrong with a lock file (docs.npmjs.com: package-lock.json, lockfileVersion 3). */
export function findLockFaults(lock: unknown): readonly string[] {
  const { packages = {} } = lock as Lock
  const installed = Object.entries(packages).filter(([path]) => path !== '')
  if (installed.length === 0) return ['it names no packages']
  return installed.flatMap(([path, { integrity = '', resolved, link }]) => [
    ...(link === true ? [`${path} is a link, not a package of a registry`] : []),
    ...(SHA512.test(integrity) ? [] : [`${path} has no SHA-512 hash`]),
    // .npmrc omits addresses, so that every machine can use its own registry.
    ...(resolved === undefined ? [] : [`${path} has a fixed address`]),
  ])
}

/** What `npm audit --json` (vulnerabilities) or `npm audit signatures --json` reports. */
export function readAudit(output: string, kind: 'vulnerabilities' | 'signatures'): Verdict {
  const report = parse(output)
  const found = kind === 'vulnerabilities' ? vulnerabilitiesIn(report) : signatureFaultsIn(report)
  if (found === undefined)
    return { kind: 'not checked', text: `the registry did not answer: ${reasonIn(report, output)}` }
  if (found.length === 0) return { kind: 'clean', text: `no finding (${kind})` }
  return { kind: 'finding', text: found.join(', ') }
}

type Report = Readonly<Record<string, unknown>>

function vulnerabilitiesIn({ auditReportVersion, vulnerabilities }: Report) {
  if (auditReportVersion !== 2 || !isFields(vulnerabilities)) return undefined
  return Object.keys(vulnerabilities)
}

function signatureFaultsIn({ invalid, missing }: Report) {
  if (!Array.isArray(invalid) || !Array.isArray(missing)) return undefined
  const name = (entry: unknown) => (isFields(entry) ? String(entry['name']) : 'unknown')
  return [
    ...invalid.map((entry) => `${name(entry)} (invalid)`),
    ...missing.map((entry) => `${name(entry)} (missing)`),
  ]
}

/** npm's own errors have a message, or an error with a summary. */
function reasonIn({ message, error }: Report, output: string): string {
  if (typeof message === 'string') return message
  if (isFields(error) && typeof error['summary'] === 'string') return error['summary']
  return output.trim().split('\n')[0]?.slice(0, 200) ?? 'no output'
}

function parse(output: string): Report {
  try {
    const value: unknown = JSON.parse(output)
    return isFields(value) ? value : {}
  } catch {
    return {}
  }
}

function isFields(value: unknown): value is Report {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
