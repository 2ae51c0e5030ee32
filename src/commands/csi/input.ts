import { readFile } from 'node:fs/promises'
import { text as readAll } from 'node:stream/consumers'
import { unreadableFile } from '../cli/option.ts'
import { systemCodeOf } from '../../files/system-error.ts'

/** Reads a file, or standard input for `-`. */
export async function readInput(file: string): Promise<string> {
  if (file === '-') return readAll(process.stdin)
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    const code = systemCodeOf(cause) ?? 'unknown error'
    throw unreadableFile(`cannot read ${file} (${code})`, cause)
  }
}
