import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Agent, fetch } from 'undici'
import { stringify } from 'yaml'
import type { Patience } from '../host/eventually.ts'
import { Program } from './program.ts'
import { requireNoSecret } from './told-secrets.ts'

/** A program that can accept no connection leaves a request without an answer. */
const ANSWER_MS = 30_000
const LAUNCHER = join(import.meta.dirname, '../../..', 'bin', 'transit-bridge')

export type Place = {
  /** The subcommand. */
  command: 'kms' | 'csi'
  folder: string
  socket: string
  adminPort: number
  /** Changes the command line, as an environment that the program runs in does. */
  wrap?: Wrap | undefined
}

type AdminAnswer = { status: number; text: string }

export type CommandLine = { command: string; args: string[] }
export type Wrap = (line: CommandLine) => CommandLine

/** The built program, serving a socket and an admin server as users run it. */
export class ServedProgram {
  readonly folder: string
  readonly configFile: string
  readonly socket: string
  readonly adminPort: number
  readonly #command: string
  readonly #wrap: Wrap
  /**
   * All requests use one connection, which stays open between them: a program without a free file descriptor accepts no
   * other. Without a limit, the second request may open another one.
   */
  readonly #adminConnection = new Agent({ connections: 1 })
  #program: Program

  /** Starts it and waits for nothing. */
  protected constructor(place: Place, document: object) {
    const { command, folder, socket, adminPort, wrap = (line: CommandLine) => line } = place
    this.folder = folder
    this.socket = socket
    this.adminPort = adminPort
    this.configFile = join(folder, 'config.yaml')
    this.#command = command
    this.#wrap = wrap
    this.writeConfiguration(document)
    this.#program = this.#launch()
  }

  get program(): Program {
    return this.#program
  }

  /** Writes the configuration file for the next start. */
  protected writeConfiguration(document: object): void {
    writeFileSync(this.configFile, stringify(document))
  }

  /** Everything that it wrote, as parsed JSON lines. */
  logLines(): Record<string, unknown>[] {
    return this.#program
      .output()
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line) => JSON.parse(line) as Record<string, unknown>)
  }

  /** Asks the admin server, which starts a moment after the socket. */
  async admin(path: string, accept = '*/*'): Promise<AdminAnswer> {
    const { promise, resolve } = Promise.withResolvers<AdminAnswer>()
    await this.#program.waitUntil(`${path} of the admin server`, async () => {
      resolve(await this.#ask(path, accept))
      return true
    })
    return promise
  }

  async #ask(path: string, accept = '*/*'): Promise<AdminAnswer> {
    const answer = await fetch(`http://127.0.0.1:${String(this.adminPort)}${path}`, {
      headers: { accept },
      signal: AbortSignal.timeout(ANSWER_MS),
      dispatcher: this.#adminConnection,
    })
    return { status: answer.status, text: await answer.text() }
  }

  /** Waits until its socket accepts. */
  async waitForSocket(patience?: Patience): Promise<void> {
    await this.#program.waitForSocket(this.socket, patience)
  }

  /** Kills it as a power cut would: the socket file stays. */
  async kill(): Promise<void> {
    await this.#program.kill()
  }

  /** Starts it again in the same folder, after it was stopped or killed. */
  async restart(patience?: Patience): Promise<void> {
    this.#program = this.#launch()
    await this.waitForSocket(patience)
  }

  /**
   * Ends it by SIGTERM; resolves with its exit code. Throws when anything that it told, to a log, to a caller
   * or to the admin server, holds a secret.
   */
  async stop(): Promise<number | null> {
    const pages = await this.#adminPages()
    const { code } = await this.#program.terminate()
    requireNoSecret(`the program in ${this.folder}`, `${this.#program.output()}\n${pages}`)
    return code
  }

  /** All that the admin server shows; empty when there is none, or it has ended. */
  async #adminPages(): Promise<string> {
    const pages = ['/metrics', '/readyz', '/readyz?format=json'].map((path) =>
      this.#ask(path).then(
        ({ text }) => text,
        () => '',
      ),
    )
    return (await Promise.all(pages)).join('\n')
  }

  #launch(): Program {
    const args = [this.#command, '--config', this.configFile]
    const line = this.#wrap({ command: LAUNCHER, args })
    return Program.start({ name: 'transit-bridge', ...line, folder: this.folder })
  }
}
