import { openRegularFile } from './regular-file.ts'

/** A line longer than this is passed over: no audit entry is, and memory stays bounded. */
const LONGEST_LINE = 4 * 1024 * 1024

/**
 * The JSON objects of a file, one a line. What stands in front of one (as a container's log has a time there) and lines
 * that are none are passed over; the last line may be half written.
 */
export async function* readJsonLines(path: string): AsyncIterable<unknown> {
  const file = await openRegularFile(path, path)
  try {
    for await (const line of file.readLines({ encoding: 'utf8' })) {
      const start = line.indexOf('{')
      if (start < 0 || line.length > LONGEST_LINE) continue
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
