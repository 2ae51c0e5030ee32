import { setTimeout as sleep } from 'node:timers/promises'
import type { ApiServer } from '../load/api-server.ts'
import type { HandedOut } from '../load/handed-out.ts'
import type { World } from '../members/world.ts'

/** Longer than the deadline of a call: none that began before the last plugin announced the version is still running. */
const CALLS_END_MS = 4_000
const MAX_ROUNDS = 20

/**
 * Disables the versions before the announced one as an operator may: all plugins announce it, and every object was written again
 * under it. Does nothing if a fault prevents that.
 */
export async function raiseMinDecryption({ plugins, versions, handedOut }: World): Promise<void> {
  const version = Math.min(...plugins.map(({ apiServer }) => apiServer.announcedVersion))
  if (version <= versions.minDecryption) return
  await sleep(CALLS_END_MS)
  for (let round = 0; round < MAX_ROUNDS; round += 1) {
    const [writer] = plugins
    const areReady = plugins.every(
      ({ condition, apiServer }) => condition.isSettled && apiServer.announcedVersion >= version,
    )
    if (!areReady || writer === undefined) return
    const objects = handedOut.objectsBefore(version)
    if (objects.length === 0) {
      await versions.setMinDecryption(version)
      return
    }
    for (const object of objects) await rewrite(writer.apiServer, handedOut, object)
  }
}

async function rewrite(writer: ApiServer, handedOut: HandedOut, object: number): Promise<void> {
  try {
    const record = handedOut.ofObject(object)
    if (record !== undefined) await writer.decrypt(record)
    await writer.encrypt(object)
  } catch {
    // A fault has begun. The next round finds what was not written.
    await sleep(100)
  }
}
