import { lstat, readlink } from 'node:fs/promises'
import { dirname, join, parse, resolve, sep } from 'node:path'

import { readWithinTime } from '../files/bounded-read.ts'
import { systemCodeOf } from '../files/system-error.ts'
import { fail, unknown, wordsOf, type Finding, type UnknownCheck } from './finding.ts'
import { formatMode } from './host-file.ts'

const TYPE = 0o170000
const FOLDER = 0o040000
const LINK = 0o120000
const STICKY = 0o1000
const WRITABLE_BY_GROUP = 0o020
const WRITABLE_BY_OTHERS = 0o002
/** As in Linux (path_resolution(7)). */
const MAX_LINKS = 40

/**
 * Findings for every file, folder and symbolic link on the way to a file that lets others change or replace the file: users
 * other than root, this user and `owners`, and any group but that of this user. None for what does not exist, which other checks
 * report.
 */
export async function checkPathRights(
  what: UnknownCheck,
  path: string,
  owners: readonly number[] = [],
): Promise<readonly Finding[]> {
  const places = await listPlaces(path)
  if (typeof places === 'string')
    return [unknown(what, `who can replace ${path} is unknown: ${places}`, 'run doctor as root')]
  const users = new Set([0, process.geteuid?.() ?? 0, ...owners])
  return places.flatMap((place, index) => {
    const why = explainOpen(place, users, index === places.length - 1)
    if (why === undefined) return []
    const text = `${place.path} ${why}, so other users can replace ${path}`
    return [fail(what, text, `chown root:root ${place.path}, chmod go-w ${place.path}`)]
  })
}

interface Place {
  readonly path: string
  readonly uid: number
  readonly gid: number
  readonly mode: number
}

/**
 * The bits of the group are also the mask of an access control list (acl(5)), so that a file of group root with them set may be
 * open to any user.
 */
function explainOpen(
  { uid, gid, mode }: Place,
  users: ReadonlySet<number>,
  isTarget: boolean,
): string | undefined {
  if (!users.has(uid)) return `belongs to user id ${uid} (mode ${formatMode(mode)})`
  // The mode of a link means nothing.
  if ((mode & TYPE) === LINK) return undefined
  // In a sticky folder such as /tmp, only the owner of a file can replace it, but anyone can create one that is missing.
  if ((mode & TYPE) === FOLDER && (mode & STICKY) !== 0 && !isTarget) return undefined
  if ((mode & WRITABLE_BY_OTHERS) !== 0) return `has mode ${formatMode(mode)}`
  const ownGroup = process.geteuid?.() === 0 ? undefined : process.getegid?.()
  const isOpen = (mode & WRITABLE_BY_GROUP) !== 0 && gid !== ownGroup
  return isOpen ? `has mode ${formatMode(mode)} and belongs to group id ${gid}` : undefined
}

/**
 * Returns everything that the kernel looks at to open a path, in this order; the last one is the file. Empty if it does not
 * exist; a text if it cannot be checked: the reason.
 */
async function listPlaces(path: string): Promise<readonly Place[] | string> {
  const places = new Map<string, Place>()
  try {
    const last = await readWithinTime(path, () => follow(resolve(path), places, MAX_LINKS))
    // The file itself comes last, even if it was on the way before.
    const target = places.get(last)
    places.delete(last)
    return target === undefined ? [] : [...places.values(), target]
  } catch (thrown) {
    const code = systemCodeOf(thrown)
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    return code === undefined ? wordsOf(thrown) : code
  }
}

/** Adds all places on a path, through symbolic links, and returns the path of the file that it leads to. */
async function follow(path: string, places: Map<string, Place>, links: number): Promise<string> {
  let current = parse(path).root
  for (const name of ['', ...path.split(sep).filter((part) => part !== '')]) {
    const next = join(current, name)
    const { uid, gid, mode } = await lstat(next)
    const isLink = (mode & TYPE) === LINK
    places.set(next, { path: next, uid, gid, mode })
    if (isLink && links === 0) throw Object.assign(new Error('loop'), { code: 'ELOOP' })
    current = isLink
      ? await follow(resolve(dirname(next), await readlink(next)), places, links - 1)
      : next
  }
  return current
}
