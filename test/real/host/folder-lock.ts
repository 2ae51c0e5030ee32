import { mkdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { randomUUID } from 'node:crypto'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

/** A lock whose owner has not touched it for so long has no owner, whatever its pid says. */
const staleAfterMs = 60_000
const touchEveryMs = 5_000

/**
 * Runs `work` while this process holds the lock folder `lock`; waits while another process holds it.
 * The lock of a process that died is taken over.
 *
 * In a takeover two processes may, for a moment, both believe to hold it. So `work` must be something
 * that is only wasteful, not wrong, when done twice.
 */
export async function withLock<T>(lock: string, work: () => Promise<T>): Promise<T> {
  await mkdir(dirname(lock), { recursive: true })
  while (!(await take(lock))) {
    const owner = await ownerOf(lock)
    if (owner !== undefined && !owner.alive) await takeOver(lock, owner.pid)
    else await sleep(200)
  }
  const touch = setInterval(() => {
    const now = new Date()
    utimes(lock, now, now).catch(() => undefined)
  }, touchEveryMs)
  touch.unref()
  try {
    return await work()
  } finally {
    clearInterval(touch)
    if ((await ownerOf(lock))?.pid === process.pid) await release(lock)
  }
}

/** Moves a folder that already names its owner into place, so that no lock is ever without one. */
async function take(lock: string): Promise<boolean> {
  const mine = `${lock}.${randomUUID()}`
  await mkdir(mine)
  await writeFile(join(mine, 'pid'), String(process.pid))
  try {
    await rename(mine, lock)
    return true
  } catch (error) {
    await rm(mine, { recursive: true, force: true })
    if (isTaken(error)) return false
    throw error
  }
}

/** In one step: a folder that is emptied first can be replaced by another process's before it is removed. */
async function release(lock: string): Promise<void> {
  const aside = `${lock}.${randomUUID()}`
  await rename(lock, aside)
  await rm(aside, { recursive: true, force: true })
}

async function ownerOf(lock: string): Promise<{ pid: number; alive: boolean } | undefined> {
  try {
    const pid = Number(await readFile(join(lock, 'pid'), 'utf8'))
    const touched = (await stat(lock)).mtimeMs
    return { pid, alive: isRunning(pid) && Date.now() - touched < staleAfterMs }
  } catch {
    return undefined
  }
}

async function takeOver(lock: string, pid: number): Promise<void> {
  const aside = `${lock}.${randomUUID()}`
  try {
    await rename(lock, aside)
  } catch {
    return
  }
  const moved = Number(await readFile(join(aside, 'pid'), 'utf8').catch(() => ''))
  if (moved !== pid) await rename(aside, lock).catch(() => undefined)
  await rm(aside, { recursive: true, force: true })
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}

function isTaken(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return code === 'ENOTEMPTY' || code === 'EEXIST'
}
