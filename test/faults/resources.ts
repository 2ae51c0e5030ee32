import { readdirSync, readFileSync } from 'node:fs'
import type { Test } from 'tap'
import { eventually } from '../real/host/eventually.ts'
import type { ServedProgram } from '../real/program/served-program.ts'

/** Kept-alive connections and a scrape may differ by a few. */
const SPARE_FILES = 6
/** From a start to full use of its bounded heap, a program grows by about 40 MiB (docs/performance-notes.md). */
const SPARE_MEMORY_KIB = 64 * 1024
const PATIENCE = { timeoutMs: 60_000, intervalMs: 500 }

/** Open files, sockets among them, and the memory of a program, which must be level after all faults. */
export class Resources {
  readonly #program: ServedProgram
  readonly #files: number
  readonly #memoryKib: number

  constructor(program: ServedProgram) {
    this.#program = program
    this.#files = countFiles(program)
    this.#memoryKib = readMemory(program)
  }

  async requireLevel(t: Pick<Test, 'pass'>): Promise<void> {
    const files = () => countFiles(this.#program) <= this.#files + SPARE_FILES
    await eventually('the open files of before', files, PATIENCE)
    const memory = () => readMemory(this.#program) <= this.#memoryKib + SPARE_MEMORY_KIB
    await eventually('the memory of before', memory, PATIENCE)
    t.pass('open files and memory are level')
  }
}

function countFiles({ program: { pid } }: ServedProgram): number {
  return readdirSync(`/proc/${String(pid)}/fd`).length
}

function readMemory({ program: { pid } }: ServedProgram): number {
  const status = readFileSync(`/proc/${String(pid)}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1])
}
