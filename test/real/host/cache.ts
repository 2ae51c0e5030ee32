import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { withLock } from './folder-lock.ts'

/** Nothing takes so long to make. What is older was left by a process that was killed. */
const LEFT_AFTER_MS = 24 * 60 * 60 * 1000
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Where things that take long to make are kept: outside the checkout, shared by all checkouts. */
export function cacheFolder(): string {
  const base = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache')
  return join(base, 'transit-bridge')
}

/**
 * Returns the folder `name` of the cache, made by `make` if it is not there. `make` fills an empty
 * folder elsewhere, which is moved into place only when it is done: what was interrupted never counts.
 */
export async function cached(
  name: string,
  make: (folder: string) => Promise<void>,
): Promise<string> {
  const folder = join(cacheFolder(), name)
  if (existsSync(folder)) return folder
  return withLock(`${folder}.lock`, async () => {
    if (existsSync(folder)) return folder
    await removeLeft(folder)
    const unfinished = `${folder}.${randomUUID()}`
    await mkdir(unfinished, { recursive: true, mode: 0o700 })
    try {
      await make(unfinished)
      await rename(unfinished, folder)
    } catch (error) {
      await rm(unfinished, { recursive: true, force: true })
      if (!existsSync(folder)) throw error
    }
    return folder
  })
}

/** Removes what earlier processes left unfinished. */
async function removeLeft(folder: string): Promise<void> {
  const prefix = `${basename(folder)}.`
  for (const name of await readdir(dirname(folder))) {
    if (!name.startsWith(prefix) || !UUID.test(name.slice(prefix.length))) continue
    const left = join(dirname(folder), name)
    const age = Date.now() - (await stat(left)).mtimeMs
    if (age > LEFT_AFTER_MS) await rm(left, { recursive: true, force: true })
  }
}
