import type { Change, Plan } from './plan.ts'
import type { Value, Values } from '../operator/right.ts'

/**
 * The changes as HCL for Terraform or OpenTofu with their provider "vault". Everything without a specific resource
 * becomes a vault_generic_endpoint with the path and body that setup would write.
 */
export function formatHcl({ changes, remarks }: Plan, namespace: string | undefined): string {
  const names = new Set<string>()
  let before: string | undefined
  const blocks = changes.map((change) => {
    if (change.body === undefined) return `# - ${change.what}: remove it from the configuration`
    const { type, fields } = describe(change.path, change.body, change.secrets)
    const name = unique(nameOf(change.path), names)
    // A role needs its mount, which Terraform cannot infer from a path.
    const order = before === undefined ? [] : [`  depends_on = [${before}]`]
    before = `${type}.${name}`
    const place = namespace === undefined ? [] : [`  namespace = ${quote(namespace)}`]
    return [
      `# ${change.what}`,
      `resource "${type}" "${name}" {`,
      ...place,
      ...fields,
      ...order,
      '}',
    ].join('\n')
  })
  return [...remarks.map(({ level, text }) => `# ${level}: ${text}`), ...blocks].join('\n\n')
}

interface Resource {
  readonly type: string
  readonly fields: readonly string[]
}

function describe(path: string, body: Values, secrets: Change['secrets'] = {}): Resource {
  const policy = /^sys\/policies\/acl\/(.*)$/.exec(path)?.[1]
  if (policy !== undefined) {
    return {
      type: 'vault_policy',
      fields: [field('name', policy), policyText(String(body['policy']))],
    }
  }
  const engine = /^sys\/(mounts|auth)\/(.*)$/.exec(path)
  if (engine !== null) {
    const type = engine[1] === 'auth' ? 'vault_auth_backend' : 'vault_mount'
    const { type: kind = '', description = '' } = body
    return {
      type,
      fields: [
        field('path', engine[2] ?? ''),
        field('type', kind),
        field('description', description),
      ],
    }
  }
  const entries = [
    ...Object.entries(body).map(([name, value]) => `    ${name} = ${format(value)}`),
    ...Object.entries(secrets).map(
      ([name, file]) => `    ${name} = trimspace(file(${quote(file.path)}))`,
    ),
  ]
  return {
    type: 'vault_generic_endpoint',
    fields: [
      field('path', path),
      '  ignore_absent_fields = true',
      ...(/\/(config|config\/keys|keys\/[^/]+)$/.test(path) ? ['  disable_delete = true'] : []),
      '  data_json = jsonencode({',
      ...entries,
      '  })',
    ],
  }
}

function policyText(policy: string): string {
  return `  policy = <<-END_OF_POLICY\n${policy.trimEnd().replaceAll(/^(?=.)/gm, '    ')}\n  END_OF_POLICY`
}

function field(name: string, value: Value): string {
  return `  ${name} = ${format(value)}`
}

function format(value: Value): string {
  if (typeof value === 'string') return quote(value)
  return typeof value === 'object' ? `[${value.map(quote).join(', ')}]` : String(value)
}

/** A quoted string of HCL: as in JSON, but `${` and `%{` begin templates. */
function quote(text: string): string {
  return JSON.stringify(text).replaceAll('${', '$${').replaceAll('%{', '%%{')
}

function nameOf(path: string): string {
  return path
    .replace(/^sys\/(?:policies\/acl|mounts|config\/auditing)\//, '')
    .replaceAll(/[^A-Za-z0-9]+/g, '_')
    .toLowerCase()
}

function unique(name: string, names: Set<string>): string {
  const free = names.has(name) ? `${name}_${names.size}` : name
  names.add(free)
  return free
}
