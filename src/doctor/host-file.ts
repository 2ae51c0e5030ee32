import { readFile, stat } from 'node:fs/promises'

import { readWithinTime } from '../files/bounded-read.ts'
import { systemCodeOf } from '../files/system-error.ts'
import { fail, ok, wordsOf, type Finding } from './finding.ts'

/** No file that doctor reads is nearly as long. */
const MAX_BYTES = 4 * 1024 * 1024

/** A file of the host, or why it cannot be read. */
export type HostFile =
  | { readonly text: string; readonly mode: number; readonly gid: number }
  | { readonly missing: boolean; readonly problem: string }

export async function readHostFile(path: string): Promise<HostFile> {
  try {
    return await readWithinTime(path, () => read(path))
  } catch (thrown) {
    const code = systemCodeOf(thrown)
    const missing = code === 'ENOENT' || code === 'ENOTDIR'
    if (missing) return { missing, problem: 'does not exist' }
    return { missing, problem: code === undefined ? wordsOf(thrown) : `cannot be read (${code})` }
  }
}

async function read(path: string): Promise<HostFile> {
  const found = await stat(path)
  if (!found.isFile()) return { missing: false, problem: 'is not a regular file' }
  if (found.size > MAX_BYTES) return { missing: false, problem: 'is larger than 4 MiB' }
  const { mode, gid } = found
  return { text: await readFile(path, 'utf8'), mode: mode & 0o777, gid }
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
