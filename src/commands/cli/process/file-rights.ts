import { dirname, normalize } from 'node:path'

import type { FileNeeds } from '../../../config/file-needs.ts'
import { logKey, type Logger } from '../../../telemetry/log.ts'

type Kind = keyof FileNeeds
type Rights = Pick<NonNullable<typeof process.permission>, 'has' | 'drop'>

const KINDS = ['read', 'write'] as const
/** The right to write compiled code is dropped after start/server-code.ts has saved it: code in it would run in the next start. */
const CODE_SAVED_AFTER_MS = 5_000

/**
 * Drops the right to all files but those that are needed, for good (docs/design.md, "Permissions"). Only what the command line of
 * Node.js grants can be kept, so nothing is dropped if that does not include a needed file. Returns the reason in that case.
 */
export function restrictFiles(
  needs: FileNeeds,
  rights: Rights | undefined = process.permission,
  options = nodeOptions(),
  program = process.argv[1] ?? '',
): string | undefined {
  if (typeof rights?.drop !== 'function')
    return 'Node.js was started without --permission, or is too old to drop rights'
  const all = { read: [...needs.read, `${dirname(program)}/*`], write: needs.write }
  const kept = { read: new Set<string>(), write: new Set<string>() }
  for (const kind of KINDS) {
    const grants = grantsOf(kind, options)
    for (const need of all[kind]) {
      const grant = narrowest(grants, need)
      if (grant === undefined) return `${need} is not among the granted files`
      kept[kind].add(grant)
    }
  }
  const codeFolder = `${dirname(program)}/compile-cache/*`
  for (const kind of KINDS) {
    for (const grant of grantsOf(kind, options)) {
      if (containsAny(grant, kept[kind])) continue
      const drop = () => rights.drop(`fs.${kind}`, grant)
      if (kind === 'write' && grant === codeFolder) setTimeout(drop, CODE_SAVED_AFTER_MS).unref()
      else drop()
    }
  }
  return undefined
}

/** From the command line, and in a pod from the environment (node/files/permission-options.ts). */
function nodeOptions(): readonly string[] {
  return [...(process.env['NODE_OPTIONS'] ?? '').split(' '), ...process.execArgv]
}

/** Logs whether file access is restricted; `why` is the reason if it is not. */
export function reportFileRights(why: string | undefined, log: Logger): void {
  if (why === undefined)
    log.debug('file access is restricted to the files that the configuration names')
  else
    log.info(
      { [logKey.reason]: why },
      'file access is not restricted to the files that the configuration names',
    )
}

function grantsOf(kind: Kind, options: readonly string[]): readonly string[] {
  const option = `--allow-fs-${kind}=`
  return options.filter((each) => each.startsWith(option)).map((each) => each.slice(option.length))
}

/**
 * Whether one of the grants is this one, or in this folder. To drop a folder, Node.js also drops what was granted in it. A grant
 * without /* may be a folder, too, for example one that a comment in the configuration mentions. "/" alone is dropped correctly.
 */
function containsAny(grant: string, others: ReadonlySet<string>): boolean {
  if (grant === '/') return false
  const folder = folderOf(grant)
  return [...others].some((other) => folderOf(other).startsWith(folder))
}

/** A path in its normal form, as a folder: with a slash at the end. */
function folderOf(grant: string): string {
  return normalize(`${grant.replace(/\/\*$/, '')}/`)
}

/** The grant of a path itself, or of the smallest folder around it that is not everything. */
function narrowest(grants: readonly string[], path: string): string | undefined {
  if (grants.includes(path)) return path
  return grants
    .filter((grant) => grant.endsWith('/*') && path.startsWith(grant.slice(0, -1)))
    .toSorted((one, other) => other.length - one.length)[0]
}
