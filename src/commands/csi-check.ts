import { readFile } from 'node:fs/promises'
import { text } from 'node:stream/consumers'
import type { ProviderConfig } from '../config/config.ts'
import { formatFault, type Fault } from '../yaml/fault.ts'
import { loadProviderConfig } from '../config/load.ts'
import { requireSection } from '../config/section.ts'
import { AccessRules } from '../csi/identity/access-rules.ts'
import { PROVIDER_NAME, readManifests, type ClassManifest } from '../csi/class/class-manifest.ts'
import { BridgeError } from '../errors.ts'
import type { OptionValues } from './cli/command.ts'
import { complain, EXIT_FAILED, EXIT_OK, print, type Terminal } from './cli/terminal.ts'

/** Whom the rules are asked about; what is undefined comes from the manifest, else it is `default`. */
interface Subject {
  readonly rules: AccessRules
  readonly namespace: string | undefined
  readonly serviceAccount: string
}

/** Says what is wrong with the SecretProviderClass manifests of a file, or of standard input. */
export async function checkClasses(
  file: string,
  values: OptionValues,
  terminal: Terminal,
): Promise<number> {
  const subject = await readSubject(values, terminal)
  const name = file === '-' ? 'standard input' : file
  const manifests = readManifests(await readInput(file))
  const faults = findFaults(manifests, subject)
  const classes = manifests.flatMap((manifest) => describe(manifest) ?? [])
  if (values['json'] === true) {
    print(
      terminal,
      JSON.stringify({ file: name, ok: faults.length === 0, classes, faults }, null, 2),
    )
  } else if (faults.length > 0) {
    print(terminal, faults.map((fault) => formatFault(name, fault)).join('\n'))
  } else {
    const lines = classes.map((found) => `  ${found.name}: ${found.summary}`)
    print(terminal, [`${name}: ok`, ...lines].join('\n'))
  }
  if (faults.length === 0) return EXIT_OK
  complain(
    terminal,
    `${name} has ${faults.length === 1 ? 'a fault' : `${String(faults.length)} faults`}`,
  )
  return EXIT_FAILED
}

async function readSubject(
  values: OptionValues,
  { environment }: Terminal,
): Promise<Subject | undefined> {
  const { config: file, namespace, 'service-account': serviceAccount } = values
  if (typeof file === 'string') {
    return {
      rules: rulesOf(await loadProviderConfig(file, environment)),
      namespace: typeof namespace === 'string' ? namespace : undefined,
      serviceAccount: typeof serviceAccount === 'string' ? serviceAccount : 'default',
    }
  }
  const given = namespace === undefined ? serviceAccount && '--service-account' : '--namespace'
  if (given === undefined) return undefined
  throw new BridgeError(
    'USAGE_INVALID',
    `csi check: ${given} is about csi.rules, which are in the configuration; add --config FILE`,
  )
}

function rulesOf(config: ProviderConfig): AccessRules {
  const { rules, mount } = requireSection(config, 'csi')
  const { transit } = config
  return new AccessRules({ rules, guardedKey: transit.mount === mount ? transit.key : undefined })
}

async function readInput(file: string): Promise<string> {
  if (file === '-') return text(process.stdin)
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error'
    throw new BridgeError('USAGE_INVALID', `csi check: cannot read ${file} (${code})`, { cause })
  }
}

function findFaults(
  manifests: readonly ClassManifest[],
  subject: Subject | undefined,
): readonly Fault[] {
  if (manifests.length === 0) {
    const message = `has no SecretProviderClass of provider ${PROVIDER_NAME} in it`
    return [{ path: '', message, hint: 'is this the right file?' }]
  }
  return manifests
    .flatMap((manifest) => [...manifest.faults, ...(subject ? findDenials(manifest, subject) : [])])
    .toSorted((one, other) => (one.line ?? 0) - (other.line ?? 0))
}

function findDenials({ read, line, namespace }: ClassManifest, subject: Subject): readonly Fault[] {
  if (read === undefined) return []
  const { rules, serviceAccount } = subject
  const pod = { namespace: subject.namespace ?? namespace ?? 'default', serviceAccount }
  return rules.findDenials(pod, read).map((message) => ({ path: 'csi.rules', message, line }))
}

function describe({ name, namespace, read }: ClassManifest) {
  if (read === undefined) return undefined
  const { role, objects } = read
  const count = objects.length === 1 ? '1 object' : `${String(objects.length)} objects`
  const place = namespace === undefined ? {} : { namespace }
  return { name, ...place, role, objects: objects.length, summary: `role ${role}, ${count}` }
}
