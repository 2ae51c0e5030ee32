import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const made = new Set<string>()

process.on('exit', () => {
  if (process.env['TRANSIT_BRIDGE_KEEP'] !== undefined) return
  for (const folder of made) rmSync(folder, { recursive: true, force: true, maxRetries: 3 })
})

/**
 * Makes an empty folder that is gone when this process ends. TRANSIT_BRIDGE_KEEP=1 keeps all of them,
 * to look at what the servers wrote.
 */
export function tempFolder(name: string): string {
  const folder = mkdtempSync(join(tmpdir(), `tb-${name}-`))
  made.add(folder)
  return folder
}
