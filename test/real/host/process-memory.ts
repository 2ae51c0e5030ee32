import { closeSync, openSync, readdirSync, readFileSync, readSync } from 'node:fs'

const PIECE = 4 * 1024 * 1024

type Range = { readonly from: number; readonly to: number }

/**
 * Returns those of the wanted bytes that are in the writable memory of a process (proc(5): /proc/PID/smaps and
 * /proc/PID/mem). It must be a child of this process, or this process must run as root.
 *
 * The process is stopped meanwhile. While it runs, its garbage collector moves bytes from memory that is still to be read to memory that
 * was read, and a block that is unmapped in the middle of a range ends a read early.
 */
export function findInMemory(pid: number, wanted: readonly Buffer[]): readonly Buffer[] {
  stop(pid)
  try {
    return search(pid, wanted)
  } finally {
    process.kill(pid, 'SIGCONT')
  }
}

/** Returns when no thread of the process runs. */
function stop(pid: number): void {
  process.kill(pid, 'SIGSTOP')
  const tasks = `/proc/${String(pid)}/task`
  while (!readdirSync(tasks).every((id) => isStopped(`${tasks}/${id}/stat`)))
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
}

/** A thread that has ended counts as stopped. The name of a thread may contain any character (proc_pid_stat(5)). */
function isStopped(statFile: string): boolean {
  try {
    return /\) [TtZX] [^)]*$/.test(readFileSync(statFile, 'utf8'))
  } catch {
    return true
  }
}

function search(pid: number, wanted: readonly Buffer[]): readonly Buffer[] {
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

/** Writable ranges of which at least a page is in use, also one that was swapped out. */
function writableRanges(pid: number): readonly Range[] {
  const ranges: Range[] = []
  const parts = readFileSync(`/proc/${String(pid)}/smaps`, 'utf8').split(/^(?=[0-9a-f]+-)/m)
  for (const part of parts) {
    const [, from, to] = /^([0-9a-f]+)-([0-9a-f]+) rw/.exec(part) ?? []
    if (from === undefined || to === undefined || !/^(?:Rss|Swap): +[1-9]/m.test(part)) continue
    ranges.push({ from: Number.parseInt(from, 16), to: Number.parseInt(to, 16) })
  }
  return ranges
}

/** A range that cannot be read, such as that of a device, counts as empty. */
function readAt(memory: number, into: Buffer, position: number): Buffer {
  try {
    return into.subarray(0, readSync(memory, into, 0, into.length, position))
  } catch {
    return into.subarray(0, 0)
  }
}
