import { readFile, stat } from 'node:fs/promises'

/** A file of the host, or why it cannot be looked at. */
export type HostFile =
  | { readonly text: string; readonly mode: number; readonly changedAt: number }
  | { readonly missing: boolean; readonly problem: string }

export async function readHostFile(path: string): Promise<HostFile> {
  try {
    const { mode, mtimeMs } = await stat(path)
    return { text: await readFile(path, 'utf8'), mode: mode & 0o777, changedAt: mtimeMs }
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unknown'
    const missing = code === 'ENOENT' || code === 'ENOTDIR'
    return { missing, problem: missing ? 'does not exist' : `cannot be read (${code})` }
  }
}

/** Permission bits as people write them. */
export function formatMode(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0')
}
