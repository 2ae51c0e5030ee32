import { readdirSync, readFileSync } from 'node:fs'
import type { Findings } from './findings.ts'
import type { Member } from '../members/member.ts'
import { judgeLevels, type Level, type Usage } from './resource-level.ts'

const ADMIN_MS = 1_000
const HEAP = /^nodejs_heap_size_used_bytes (\S+)$/m
const RESOURCES = /^nodejs_active_resources\{type="(\w+)"\} (\S+)$/gm

/** What the processes of a program use. Samples of a process that has ended are dropped. */
export class UsageWatch {
  readonly #member: Member
  readonly #findings: Findings
  #samples: Usage[] = []

  constructor(member: Member, findings: Findings) {
    this.#member = member
    this.#findings = findings
  }

  async sample(): Promise<void> {
    const { pid, startedAt, program } = this.#member
    if (this.#samples[0] !== undefined && this.#samples[0].atMs < startedAt) this.#samples = []
    if (!program.program.running) return
    try {
      const page = await readMetrics(program.adminPort)
      const usage = { atMs: performance.now(), ...readUsage(pid), ...parseMetrics(page) }
      if (this.#member.pid === pid) this.#samples.push(usage)
    } catch {
      // It has just ended.
    }
  }

  judge(): readonly Level[] {
    const { name } = this.#member
    const levels = judgeLevels(this.#samples)
    if (levels === undefined) {
      this.#findings.add('leak', `${name}: its life was too short for a judgment`)
      return []
    }
    for (const { figure, early, late, isLevel } of levels) {
      if (isLevel) continue
      const text = `${name}: ${figure} rose from ${early.toFixed(1)} to ${late.toFixed(1)}`
      this.#findings.add('leak', text)
    }
    return levels
  }
}

/** What the kernel counts for a process. */
export function readUsage(pid: number): Pick<Usage, 'residentMiB' | 'files'> {
  const status = readFileSync(`/proc/${String(pid)}/status`, 'utf8')
  const residentMiB = Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024
  return { residentMiB, files: readdirSync(`/proc/${String(pid)}/fd`).length }
}

/** What the program counts itself; empty if its admin server did not answer. */
export function parseMetrics(page: string): Pick<Usage, 'heapMiB' | 'timers' | 'sockets'> {
  const heap = HEAP.exec(page)?.[1]
  if (heap === undefined) return {}
  let [timers, sockets] = [0, 0]
  for (const [, type = '', count] of page.matchAll(RESOURCES)) {
    if (type === 'Timeout' || type === 'Immediate') timers += Number(count)
    if (/(Socket|Pipe|TCP|TLS)/.test(type)) sockets += Number(count)
  }
  return { heapMiB: Number(heap) / (1024 * 1024), timers, sockets }
}

async function readMetrics(port: number): Promise<string> {
  try {
    const signal = AbortSignal.timeout(ADMIN_MS)
    return await (await fetch(`http://127.0.0.1:${String(port)}/metrics`, { signal })).text()
  } catch {
    return ''
  }
}
