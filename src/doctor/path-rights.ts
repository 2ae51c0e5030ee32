import { realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'

import { fail, type Finding } from './finding.ts'
import { formatMode } from './host-file.ts'

const STICKY = 0o1000
const WRITABLE_BY_OTHERS = 0o002

/**
 * A finding if a user other than root, this user or the file's owner can change or replace a file: by its own mode, or by
 * the owner or mode of any folder above it. None for what does not exist, which other checks report.
 */
export async function checkPathRights(what: string, path: string): Promise<readonly Finding[]> {
  const open = await findOpenPlace(path)
  if (open === undefined) return []
  const why = `${open.place} ${open.why}, so other users can replace ${path}`
  return [fail(what, why, `fix the owner and mode: chown root, chmod o-w ${open.place}`)]
}

async function findOpenPlace(path: string) {
  try {
    const target = await realpath(path)
    const { uid } = await stat(target)
    const trusted = new Set([0, process.geteuid?.() ?? 0, uid])
    for (const place of placesOf(target)) {
      const why = await explainOpen(place, trusted)
      if (why !== undefined) return { place, why }
    }
  } catch {
    return undefined
  }
  return undefined
}

async function explainOpen(place: string, trusted: ReadonlySet<number>) {
  const { mode, uid } = await stat(place)
  if (!trusted.has(uid)) return `belongs to user id ${uid}`
  // In a sticky folder such as /tmp, only the owner of a file can replace it.
  const isOpen = (mode & WRITABLE_BY_OTHERS) !== 0 && (mode & STICKY) === 0
  return isOpen ? `has mode ${formatMode(mode)}` : undefined
}

/** The path and every folder above it. */
function placesOf(path: string): readonly string[] {
  const parent = dirname(path)
  return parent === path ? [path] : [path, ...placesOf(parent)]
}
