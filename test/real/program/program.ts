import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, type Patience } from '../host/eventually.ts'

export type Launch = {
  /** What messages call it, and the name of its output file. */
  name: string
  command: string
  args: string[]
  /** Its working folder; its output goes to `<name>.log` in it. */
  folder: string
  /** Its whole environment. By default PATH, HOME and TMPDIR alone. */
  env?: NodeJS.ProcessEnv
}

export type Exit = { code: number | null; signal: NodeJS.Signals | null; error?: Error }

const running = new Set<Program>()

/**
 * A child process of this one, which it never outlives: it is killed when this process exits or is
 * ended by a signal, SIGKILL included.
 */
export class Program {
  readonly name: string
  readonly pid: number
  readonly outputFile: string
  /** Settles once, when the program has ended; never rejects. */
  readonly exited: Promise<Exit>
  #child: ChildProcess
  #guard: ChildProcess | undefined
  #exit: Exit | undefined

  /** Starts a program; that it cannot be started shows in `exited` and in every wait. */
  static start(launch: Launch): Program {
    return new Program(launch)
  }

  private constructor(launch: Launch) {
    this.name = launch.name
    this.outputFile = join(launch.folder, `${launch.name}.log`)
    // A file and not a pipe: a server never waits for a test that is busy, and the output is still
    // there when the test process has died.
    const output = openSync(this.outputFile, 'a')
    this.#child = spawn(launch.command, launch.args, {
      cwd: launch.folder,
      env: launch.env ?? bareEnvironment(),
      stdio: ['ignore', output, output],
    })
    closeSync(output)
    this.pid = this.#child.pid ?? -1
    this.exited = new Promise((resolve) => {
      const ended = (exit: Exit): void => {
        this.#exit = exit
        this.#guard?.kill('SIGKILL')
        running.delete(this)
        resolve(exit)
      }
      this.#child.once('error', (error) => ended({ code: null, signal: null, error }))
      this.#child.once('exit', (code, signal) => ended({ code, signal }))
    })
    if (this.pid === -1) return
    this.#guard = guard(this.pid)
    // A server that a test forgot does not keep the test process from ending.
    this.#child.unref()
    running.add(this)
  }

  get running(): boolean {
    return this.#exit === undefined
  }

  /** All that it wrote to stdout and stderr, since the first start in this folder. */
  output(): string {
    return readFileSync(this.outputFile, 'utf8')
  }

  /** The end of what it wrote, for messages. */
  tail(bytes = 4000): string {
    const file = openSync(this.outputFile, 'r')
    try {
      const size = fstatSync(file).size
      const buffer = Buffer.alloc(Math.min(bytes, size))
      readSync(file, buffer, 0, buffer.length, size - buffer.length)
      return buffer.toString('utf8')
    } finally {
      closeSync(file)
    }
  }

  /**
   * As {@link eventually}. Fails at once when the program ends; the messages carry the end of its output.
   */
  async waitUntil(
    what: string,
    holds: () => boolean | Promise<boolean>,
    patience?: Patience,
  ): Promise<void> {
    try {
      await eventually(what, holds, patience, () => this.#exit && said(this.#exit))
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new Error(`${this.name}: ${reason}; its output ends:\n${this.tail()}`, { cause })
    }
  }

  /** Waits until its output has a line that matches. */
  async waitForLine(pattern: RegExp, patience?: Patience): Promise<void> {
    await this.waitUntil(`a line like ${pattern}`, () => pattern.test(this.output()), patience)
  }

  /** Waits until something accepts connections: a port on 127.0.0.1, or the path of a socket. */
  async waitForSocket(at: number | string, patience?: Patience): Promise<void> {
    await this.waitUntil(`a connection to ${at}`, () => accepts(at), patience)
  }

  /** Waits for the end of a program, however it ends. */
  async ended(): Promise<Exit> {
    this.#child.ref()
    return this.exited
  }

  /** Waits for the end of a program that does its work and ends; throws unless the exit code is 0. */
  async finished(): Promise<void> {
    const exit = await this.ended()
    if (exit.code === 0) return
    throw new Error(`${this.name}: ${said(exit)}; its output ends:\n${this.tail()}`)
  }

  /** Asks it to end (SIGTERM), and kills it when `graceMs` have passed. Returns when it has ended. */
  async terminate({ graceMs = 10_000 }: { graceMs?: number } = {}): Promise<Exit> {
    if (this.#exit !== undefined) return this.#exit
    this.signal('SIGTERM')
    // A paused program would receive the signal only when it continues.
    this.signal('SIGCONT')
    const stop = new AbortController()
    const late = sleep(graceMs, undefined, { signal: stop.signal }).then(
      () => this.signal('SIGKILL'),
      () => undefined,
    )
    this.#child.ref()
    const exit = await this.exited
    stop.abort()
    await late
    return exit
  }

  /** Kills it (SIGKILL), as a power cut would. Returns when it is gone. */
  async kill(): Promise<Exit> {
    this.signal('SIGKILL')
    this.#child.ref()
    return this.exited
  }

  /** Stops it in its tracks (SIGSTOP): connections stay open and nothing is answered. */
  pause(): void {
    this.signal('SIGSTOP')
  }

  /** Lets a paused program continue (SIGCONT). */
  resume(): void {
    this.signal('SIGCONT')
  }

  /** Sends a signal, if it still runs. */
  signal(signal: NodeJS.Signals): void {
    if (this.#exit === undefined) this.#child.kill(signal)
  }
}

/** The environment that servers run in: nothing of VAULT_*, BAO_*, KUBE* or proxies comes through. */
function bareEnvironment(): NodeJS.ProcessEnv {
  const { PATH, HOME, TMPDIR } = process.env
  return {
    ...(PATH === undefined ? {} : { PATH }),
    ...(HOME === undefined ? {} : { HOME }),
    ...(TMPDIR === undefined ? {} : { TMPDIR }),
  }
}

/**
 * A shell that waits for the end of its stdin, which comes when this process is gone in whatever
 * way, and then kills the program. Exit handlers alone do not run after a SIGKILL.
 */
function guard(pid: number): ChildProcess {
  const script = 'trap \'\' INT TERM HUP; read -r line; kill -KILL "$1"'
  const child = spawn('/bin/sh', ['-c', script, 'guard', String(pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  child.on('error', () => undefined)
  const input = child.stdin as (typeof child.stdin & { unref?: () => void }) | null
  input?.on('error', () => undefined)
  input?.unref?.()
  child.unref()
  return child
}

function accepts(at: number | string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket =
      typeof at === 'number' ? connect({ host: '127.0.0.1', port: at }) : connect({ path: at })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

function said(exit: Exit): string {
  if (exit.error !== undefined) return `did not start (${exit.error.message})`
  if (exit.signal !== null) return `was ended by ${exit.signal}`
  return `exited with code ${exit.code}`
}

// A signal needs no handler: when it ends this process, the guards see it.
process.on('exit', () => {
  for (const program of running) program.signal('SIGKILL')
})
