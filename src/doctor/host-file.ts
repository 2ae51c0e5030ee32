import { readFile, stat } from 'node:fs/promises'

import { fail, ok, type Finding } from './finding.ts'

/** A file of the host, or why it cannot be read. */
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

/** Whether a file with a credential exists and only its owner and group can read it. */
export async function checkSecretFile(what: string, path: string): Promise<Finding> {
  const file = await readHostFile(path)
  if ('problem' in file)
    return fail(what, `${path} ${file.problem}`, 'check the program that writes it')
  const mode = formatMode(file.mode)
  if ((file.mode & 0o007) === 0) return ok(what, `${path} has mode ${mode}`)
  const why = `${path} has mode ${mode}, so every user of this host can log in with it`
  return fail(what, why, `chmod 0600 ${path}`)
}

/** Permission bits in octal: "0600". */
export function formatMode(mode: number): string {
  return (mode & 0o777).toString(8).padStart(4, '0')
}
