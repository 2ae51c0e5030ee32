import { closeSync, openSync, readFileSync, readSync } from 'node:fs'

const PIECE = 4 * 1024 * 1024

type Range = { readonly from: number; readonly to: number }

/**
 * Returns those of the wanted bytes that are in the writable memory of a process (proc(5): /proc/PID/smaps and
 * /proc/PID/mem). It must be a child of this process, or this process must run as root.
 */
export function findInMemory(pid: number, wanted: readonly Buffer[]): readonly Buffer[] {
  const memory = openSync(`/proc/${String(pid)}/mem`, 'r')
  try {
    const found = new Set<Buffer>()
    const overlap = Math.max(...wanted.map(({ length }) => length)) - 1
    const piece = Buffer.alloc(PIECE + overlap)
    for (const { from, to } of writableRanges(pid)) {
      for (let at = from; at < to; at += PIECE) {
        const bytes = readAt(memory, piece.subarray(0, Math.min(piece.length, to - at)), at)
        for (const each of wanted) if (bytes.includes(each)) found.add(each)
      }
    }
    return [...found]
  } finally {
    closeSync(memory)
  }
}

/** Writable ranges of which at least a page is in use. */
function writableRanges(pid: number): readonly Range[] {
  const ranges: Range[] = []
  const parts = readFileSync(`/proc/${String(pid)}/smaps`, 'utf8').split(/^(?=[0-9a-f]+-)/m)
  for (const part of parts) {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(part) ?? []
    if (from === undefined || to === undefined || /^Rss: +0 kB$/m.test(part)) continue
    ranges.push({ from: Number.parseInt(from, 16), to: Number.parseInt(to, 16) })
  }
  return ranges
}

/** A range that has been unmapped or cannot be read counts as empty. */
function readAt(memory: number, into: Buffer, position: number): Buffer {
  try {
    return into.subarray(0, readSync(memory, into, 0, into.length, position))
  } catch {
    return into.subarray(0, 0)
  }
}
