import { spawn, type ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { PROGRAM } from '../commands/program.ts'

export type MeasuredRun = {
  code: number | null
  stdout: string
  stderr: string
  seconds: number
  /** The most resident memory that it had, in MiB. */
  memory: number
}

/** Runs `transit-bridge verify` in a separate process, and passes that to `onStart`. */
export async function runMeasured(
  args: readonly string[],
  onStart: (child: ChildProcess) => void = () => undefined,
): Promise<MeasuredRun> {
  const startedAt = performance.now()
  const child = spawn(PROGRAM, ['verify', ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const output = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output.stderr += text))
  const end: { code?: number | null } = {}
  child.once('close', (code) => (end.code = code))
  onStart(child)
  let memory = 0
  // The kernel keeps the peak, so this asks for it until the process has ended.
  while (end.code === undefined) {
    memory = Math.max(memory, await readPeakMemory(child.pid ?? 0).catch(() => 0))
    await sleep(20)
  }
  return { code: end.code, ...output, seconds: (performance.now() - startedAt) / 1000, memory }
}

/** proc(5): VmHWM, in MiB. */
async function readPeakMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024
}
