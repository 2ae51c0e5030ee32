import type { ProviderConfig } from '../../config/config.ts'
import { formatFault, type Fault } from '../../yaml/fault.ts'
import { loadProviderConfig } from '../../config/load.ts'
import { requireSection } from '../../config/section.ts'
import { createAccessRules, type AccessRules } from '../../csi/identity/access-rules.ts'
import { PROVIDER_NAME, readManifests, type ClassManifest } from '../../csi/class/class-manifest.ts'
import { quoted } from '../../text/quoted.ts'
import { defineCommand, type CommandValues } from '../cli/command.ts'
import { choice, flag, text, usageError } from '../cli/option.ts'
import { convertClasses } from './convert.ts'
import { readInput } from './input.ts'
import { warn, EXIT_FAILED, EXIT_OK, print, type Terminal } from '../cli/terminal.ts'

/** The pods to check the rules for. An undefined namespace is that of the manifest, or `default`. */
interface Subject {
  readonly rules: AccessRules
  readonly namespace: string | undefined
  readonly serviceAccount: string
}

const options = {
  config: text('FILE', "The provider's configuration, to check its csi.rules as well."),
  namespace: text(
    'NAME',
    'Namespace of the pods. Needs --config. Default: the namespace in the manifest, or "default"',
  ),
  serviceAccount: text('NAME', 'Service account of the pods. Needs --config. Default: default'),
  json: flag('Print one JSON object: file, ok, rulesChecked, classes, faults.'),
  from: choice(
    'PROVIDER',
    ['transit-bridge', 'vault'],
    'transit-bridge',
    'With vault, print the classes of the Vault CSI provider as classes of this one, and report what has no counterpart.',
  ),
}

type CheckValues = CommandValues<typeof options>

export const csiCheckCommand = defineCommand({
  name: 'csi check',
  usage: [
    'FILE [--config FILE] [--namespace NAME] [--service-account NAME] [--json]',
    '--from vault FILE',
  ],
  description: `
Check the SecretProviderClass manifests in a file, without a cluster. Reports all
errors at once, one per line. FILE may contain several documents; those of other
kinds and providers are skipped. Use - to read standard input. Without --config,
csi.rules are not checked, and the output says so.

    FILE:LINE: objects[1].key: is missing; the name of a transit key`,
  options,
  operand: { name: 'FILE' },
  exitCodes: '0 no problems found, 1 problems found, 2 wrong usage or configuration.',
  examples: [
    '$ transit-bridge csi check web.yaml --namespace shop \\\n      --service-account web --config /etc/transit-bridge/config.yaml',
    '$ helm template . | transit-bridge csi check -',
    '$ transit-bridge csi check --from vault old.yaml > new.yaml',
  ],
  run: checkClasses,
})

/** Checks the SecretProviderClass manifests of a file, or of standard input. */
async function checkClasses(values: CheckValues, terminal: Terminal): Promise<number> {
  if (values.from === 'vault') return convertClasses(values, terminal)
  const [file = '-'] = values.operands
  const subject = await readSubject(values, terminal)
  const name = file === '-' ? 'standard input' : file
  const manifests = readManifests(await readInput(file))
  const faults = findFaults(manifests, subject)
  const rulesChecked = subject !== undefined
  const classes = manifests.flatMap((manifest) => describe(manifest) ?? [])
  if (values.json) {
    print(
      terminal,
      JSON.stringify(
        { file: name, ok: faults.length === 0, rulesChecked, classes, faults },
        null,
        2,
      ),
    )
  } else if (faults.length > 0) {
    print(terminal, faults.map((fault) => formatFault(name, fault)).join('\n'))
  } else {
    const lines = classes.map((found) => `  ${found.name}: ${found.summary}`)
    const gap = rulesChecked ? '' : '; csi.rules were not checked, add --config FILE'
    print(terminal, [`${name}: ok${gap}`, ...lines].join('\n'))
  }
  if (faults.length === 0) return EXIT_OK
  warn(
    terminal,
    `${name} has ${faults.length === 1 ? 'an error' : `${String(faults.length)} errors`}`,
  )
  return EXIT_FAILED
}

async function readSubject(
  { config: file, namespace, serviceAccount }: CheckValues,
  { environment }: Terminal,
): Promise<Subject | undefined> {
  if (file !== undefined) {
    const rules = rulesOf(await loadProviderConfig(file, environment))
    return { rules, namespace, serviceAccount: serviceAccount ?? 'default' }
  }
  if (namespace === undefined && serviceAccount === undefined) return undefined
  const given = namespace === undefined ? '--service-account' : '--namespace'
  throw usageError(`${given} needs the csi.rules of a configuration; add --config FILE`)
}

function rulesOf(config: ProviderConfig): AccessRules {
  const { transit, vault } = config
  const csi = requireSection(config, 'csi')
  return createAccessRules({ csi, transit, vaultNamespace: vault.namespace })
}

function findFaults(
  manifests: readonly ClassManifest[],
  subject: Subject | undefined,
): readonly Fault[] {
  if (manifests.length === 0) {
    const message = `contains no SecretProviderClass of provider ${PROVIDER_NAME}`
    return [
      {
        path: '',
        message,
        hint: 'is this the right file? --from vault converts classes of the Vault CSI provider',
      },
    ]
  }
  return manifests
    .flatMap((manifest) => [...manifest.faults, ...(subject ? findDenials(manifest, subject) : [])])
    .toSorted((one, other) => (one.line ?? 0) - (other.line ?? 0))
}

function findDenials({ read, line, namespace }: ClassManifest, subject: Subject): readonly Fault[] {
  if (read === undefined) return []
  const { rules, serviceAccount, namespace: wanted = namespace ?? 'default' } = subject
  if (namespace !== undefined && namespace !== wanted) {
    const message = `is ${quoted(namespace)}, so pods in ${quoted(wanted)} cannot use the class`
    return [{ path: 'metadata.namespace', message, hint: 'correct it or --namespace', line }]
  }
  const pod = { namespace: wanted, serviceAccount }
  return rules.findDenials(pod, read).map((message) => ({ path: 'csi.rules', message, line }))
}

function describe({ name, namespace, read }: ClassManifest) {
  if (read === undefined) return undefined
  const { role, objects } = read
  const count = objects.length === 1 ? '1 object' : `${String(objects.length)} objects`
  return { name, namespace, role, objects: objects.length, summary: `role ${role}, ${count}` }
}
