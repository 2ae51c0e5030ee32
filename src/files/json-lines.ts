import { openRegularFile } from './regular-file.ts'

/** A longer line is skipped, because memory is bounded; no audit entry is as long. */
const MAX_LINE_LENGTH = 4 * 1024 * 1024

/**
 * Reads the JSON objects of a file with one object per line. Text before an object (such as the time in a container's log)
 * and other lines are skipped. The last line may be incomplete.
 */
export async function* readJsonLines(path: string): AsyncIterable<unknown> {
  const file = await openRegularFile(path, path)
  try {
    for await (const line of file.readLines({ encoding: 'utf8' })) {
      const start = line.indexOf('{')
      if (start < 0 || line.length > MAX_LINE_LENGTH) continue
      const value = parse(line.slice(start))
      if (value !== undefined) yield value
    }
  } finally {
    await file.close()
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
