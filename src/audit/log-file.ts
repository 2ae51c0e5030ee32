import { BridgeError } from '../errors.ts'
import { MAX_LINE_BYTES, readLines, type Line } from '../files/line-reader.ts'

/** A JSON object of a file with one object per line. */
export interface JsonLine {
  /** The number of the line. */
  readonly line: number
  readonly value: unknown
}

/** A line, or the rest of a file, that could not be read. */
export interface Unread {
  readonly line: number
  readonly why: string
}

export type LogLine = JsonLine | Unread

/** The time, stream and flag with which a container runtime starts a line (Kubernetes: CRI log format). */
const CRI_PREFIX = /^\S+ (?:stdout|stderr) ([FP])\S* /

/** One that was split by a container runtime may be as long as any other. */
const MAX_JOINED_LENGTH = MAX_LINE_BYTES
const OBJECT_START = /\{\s*"/
const TOO_LONG = 'is longer than 4 MiB'
const UNFINISHED = 'is incomplete: the file was cut off, or is still being written'

/**
 * Reads the JSON objects of a log file, many at once. Text before an object, such as a time, and lines without an object
 * are skipped; a line that a container runtime split is joined. Objects that cannot be read are returned, too.
 */
export async function* readLogFile(path: string): AsyncGenerator<readonly LogLine[]> {
  const joiner = new LineJoiner()
  let number = 0
  try {
    for await (const lines of readLines(path)) {
      number = lines.at(-1)?.number ?? number
      yield lines.flatMap((line) => joiner.add(line))
    }
    yield joiner.end()
  } catch (thrown) {
    const error = BridgeError.from(thrown)
    if (error.code !== 'FILE_DAMAGED') throw error
    yield [{ line: number + 1, why: `${error.message}; nothing after this line was read` }]
  }
}

/** Joins what a container runtime split. */
class LineJoiner {
  #partial = ''
  #number = 0

  add(line: Line): readonly LogLine[] {
    this.#number = line.number
    const docker = readDockerLine(line.text)
    if (docker !== undefined) return this.#join(line, docker, !docker.endsWith('\n'))
    const [prefix = '', flag] = CRI_PREFIX.exec(line.text) ?? []
    return this.#join(line, line.text.slice(prefix.length), flag === 'P')
  }

  #join(line: Line, part: string, isPartial: boolean): readonly LogLine[] {
    // What remains of a line that is too long is not JSON.
    if (line.isTooLong) return this.#refuse(line)
    const text = this.#partial + part
    this.#partial = isPartial ? text : ''
    if (!isPartial) return readLine({ ...line, text })
    return text.length <= MAX_JOINED_LENGTH ? [] : this.#refuse({ ...line, text })
  }

  #refuse({ number, text }: Line): readonly LogLine[] {
    this.#partial = ''
    return [{ line: number, why: `${TOO_LONG}${describeLong(text)}` }]
  }

  end(): readonly LogLine[] {
    return this.#partial === '' ? [] : [{ line: this.#number, why: UNFINISHED }]
  }
}

function readLine({ text, number, isUnfinished }: Line): readonly LogLine[] {
  const start = text.search(OBJECT_START)
  if (start < 0) return []
  const value = parse(text.slice(start))
  if (value !== undefined) return [{ line: number, value }]
  return [{ line: number, why: isUnfinished ? UNFINISHED : 'is damaged JSON' }]
}

/** In Vault's entries the path comes before the data that makes them long. */
function describeLong(prefix: string): string {
  const path = /"path":"([^"\\]{1,200})"/.exec(prefix)?.[1]
  return path === undefined ? '' : ` (its path is ${path})`
}

/**
 * Docker's json-file driver writes each line of a container as `{"log":"…\n","stream":"stdout","time":"…"}`, and one of
 * over 16 KiB in parts: only the last one ends with a line break.
 */
function readDockerLine(text: string): string | undefined {
  if (!text.startsWith('{') || !text.includes('"stream":')) return undefined
  const value = parse(text)
  if (typeof value !== 'object' || value === null || !('log' in value) || !('stream' in value))
    return undefined
  return typeof value.log === 'string' ? value.log : undefined
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
