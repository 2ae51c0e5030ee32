import type { Change, Plan } from './plan.ts'
import type { Values } from '../operator/right.ts'

/** The changes as `bao` commands for a shell; `vault` has the same commands. */
export function formatCommands({ changes, remarks }: Plan, namespace: string | undefined): string {
  return [
    ...remarks.map(({ level, text }) => `# ${level}: ${text}`),
    ...(namespace === undefined ? [] : [`export BAO_NAMESPACE=${quote(namespace)}`]),
    ...changes.flatMap((change) => [`# ${change.what}`, formatCommand(change)]),
  ].join('\n')
}

function formatCommand({ path, body, secrets = {} }: Change): string {
  if (body === undefined) return `bao delete ${quote(path)}`
  const policy = /^sys\/policies\/acl\/(.*)$/.exec(path)?.[1]
  if (policy !== undefined)
    return withInput(`bao policy write ${quote(policy)} -`, String(body['policy']))
  const engine = /^sys\/(mounts|auth)\/(.*)$/.exec(path)
  if (engine !== null)
    return enable(engine[1] === 'auth' ? 'auth' : 'secrets', engine[2] ?? '', body)
  const simple = Object.values(body).every((value) => typeof value !== 'object' && !isLong(value))
  const files = Object.entries(secrets).map(([name, file]) => `${name}=@${file.path}`)
  if (!simple && files.length === 0)
    return withInput(`bao write ${quote(path)} -`, JSON.stringify(body, null, 2))
  const values = Object.entries(body).map(([name, value]) => `${name}=${[value].flat().join(',')}`)
  const words = [...values, ...files].map(quote)
  return ['bao write', quote(path), ...words].join(' ')
}

function enable(kind: string, path: string, { type, description }: Values): string {
  const options = [`-path=${path}`, `-description=${String(description)}`].map(quote)
  return [`bao ${kind} enable`, ...options, quote(String(type))].join(' ')
}

function isLong(value: string | number | boolean): boolean {
  return typeof value === 'string' && /\n/.test(value)
}

function withInput(command: string, text: string): string {
  return `${command} <<'END_OF_INPUT'\n${text.trimEnd()}\nEND_OF_INPUT`
}

/** For a POSIX shell. */
function quote(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}
