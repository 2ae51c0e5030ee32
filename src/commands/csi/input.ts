import { readFile } from 'node:fs/promises'
import { text as readAll } from 'node:stream/consumers'
import { usageError } from '../cli/option.ts'

/** Reads a file, or standard input for `-`. */
export async function readInput(file: string): Promise<string> {
  if (file === '-') return readAll(process.stdin)
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error'
    throw usageError(`cannot read ${file} (${code})`, { cause })
  }
}
