import { lstat, readlink } from 'node:fs/promises'
import { dirname, join, parse, resolve, sep } from 'node:path'

import { fail, type Finding } from './finding.ts'
import { formatMode } from './host-file.ts'

const STICKY = 0o1000
const WRITABLE_BY_GROUP = 0o020
const WRITABLE_BY_OTHERS = 0o002
/** As in Linux (path_resolution(7)). */
const MAX_LINKS = 40

/**
 * Findings for every file, folder and symbolic link on the way to a file that lets others change or replace the file: users
 * other than root, this user and the file's owner, and groups other than theirs. None for what does not exist, which other
 * checks report.
 */
export async function checkPathRights(what: string, path: string): Promise<readonly Finding[]> {
  const places = await listPlaces(path)
  const target = places.at(-1)
  if (target === undefined) return []
  const users = new Set([0, process.geteuid?.() ?? 0, target.uid])
  const groups = new Set([0, process.getegid?.() ?? 0, target.gid])
  return places.flatMap((place) => {
    const why = explainOpen(place, users, groups)
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
  readonly isLink: boolean
}

function explainOpen(
  { uid, gid, mode, isLink }: Place,
  users: ReadonlySet<number>,
  groups: ReadonlySet<number>,
): string | undefined {
  if (!users.has(uid)) return `belongs to user id ${uid} (mode ${formatMode(mode)})`
  // In a sticky folder such as /tmp, only the owner of a file can replace it; the mode of a link means nothing.
  if (isLink || (mode & STICKY) !== 0) return undefined
  if ((mode & WRITABLE_BY_OTHERS) !== 0) return `has mode ${formatMode(mode)}`
  const isOpen = (mode & WRITABLE_BY_GROUP) !== 0 && !groups.has(gid)
  return isOpen ? `has mode ${formatMode(mode)} and belongs to group id ${gid}` : undefined
}

/** Everything that is looked at to open a path, in this order; the last one is the file. Empty if it cannot be opened. */
async function listPlaces(path: string): Promise<readonly Place[]> {
  const places = new Map<string, Place>()
  try {
    const last = await follow(resolve(path), places, MAX_LINKS)
    // The file itself comes last, even if it was on the way before.
    const target = places.get(last)
    places.delete(last)
    return target === undefined ? [] : [...places.values(), target]
  } catch {
    return []
  }
}

/** Adds all places on a path, through symbolic links, and returns the path of the file that it leads to. */
async function follow(path: string, places: Map<string, Place>, links: number): Promise<string> {
  let current = parse(path).root
  for (const name of ['', ...path.split(sep).filter((part) => part !== '')]) {
    const next = join(current, name)
    const { uid, gid, mode } = await lstat(next)
    const isLink = (mode & 0o170000) === 0o120000
    places.set(next, { path: next, uid, gid, mode, isLink })
    if (isLink && links === 0) throw new Error('too many symbolic links')
    current = isLink
      ? await follow(resolve(dirname(next), await readlink(next)), places, links - 1)
      : next
  }
  return current
}
