import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { withLock } from './folder-lock.ts'

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
