import type { Stage } from '../../faults/stage.ts'
import type { ServedProgram } from '../../real/program/served-program.ts'
import { Condition } from './condition.ts'
import type { Findings } from '../watch/findings.ts'
import type { TlsFront } from './tls-front.ts'

export const MEMBER_NAMES = ['sealed file', 'local keys', 'Transit only', 'CSI'] as const
export type MemberName = (typeof MEMBER_NAMES)[number]
export const PLUGIN_NAMES = ['sealed file', 'local keys', 'Transit only'] as const
export type PluginName = (typeof PLUGIN_NAMES)[number]

/** A stop takes at most 8 s (docs/design.md, "Start and stop"); a busy machine may need longer. */
const STOP_MS = 30_000
const START_MS = { timeoutMs: 120_000 }

export interface MemberOptions {
  readonly name: MemberName
  readonly program: ServedProgram
  readonly stage: Stage
  readonly front: TlsFront | undefined
  readonly findings: Findings
}

/** A program that takes part, with its way to Vault and what faults do to it. */
export class Member {
  readonly name: MemberName
  readonly program: ServedProgram
  readonly stage: Stage
  readonly front: TlsFront | undefined
  readonly condition = new Condition()
  protected readonly findings: Findings
  #mayEnd = false
  #startedAt = performance.now()

  constructor({ name, program, stage, front, findings }: MemberOptions) {
    this.name = name
    this.program = program
    this.stage = stage
    this.front = front
    this.findings = findings
    stage.program = program
    this.#watch()
  }

  get hasLocalKeys(): boolean {
    return this.name === 'sealed file' || this.name === 'local keys'
  }

  get pid(): number {
    return this.program.program.pid
  }

  /** When its process started, on the monotonic clock. */
  get startedAt(): number {
    return this.#startedAt
  }

  async kill(): Promise<void> {
    this.#mayEnd = true
    await this.program.kill()
  }

  async stop(): Promise<void> {
    this.#mayEnd = true
    const { code, signal } = await this.program.program.terminate({ graceMs: STOP_MS })
    if (code === 0) return
    const how = signal ?? `exit code ${String(code)}`
    this.findings.add('process', `${this.name}: SIGTERM ended it with ${how}`)
  }

  async restart(): Promise<void> {
    await this.program.restart(START_MS)
    this.#mayEnd = false
    this.#startedAt = performance.now()
    this.#watch()
  }

  #watch(): void {
    void this.program.program.exited.then(({ code, signal }) => {
      if (this.#mayEnd) return
      const how = signal ?? `exit code ${String(code)}`
      this.findings.add('process', `${this.name}: the process ended by itself: ${how}`)
    })
  }
}
