import { readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { Program } from '../program/program.ts'

/** Why nothing can be mounted here, in one line, or false: for the option `skip` of a test. */
export function whyNoMounts(): string | false {
  if (process.platform !== 'linux') return 'the CSI driver runs on Linux alone'
  if (process.getuid?.() !== 0) return 'the CSI driver mounts file systems: run this test as root'
  return false
}

/**
 * A separate mount namespace. No other process sees what is mounted in it. The kernel removes a namespace with its last
 * process, so it is removed however this process ends, also with SIGKILL.
 */
export class MountNamespace {
  readonly #holder: Program

  static async start(folder: string): Promise<MountNamespace> {
    const reason = whyNoMounts()
    if (reason !== false) throw new Error(reason)
    const holder = Program.start({
      name: 'mounts',
      command: 'unshare',
      args: ['--mount', '--propagation', 'private', 'sleep', 'infinity'],
      folder,
    })
    const namespace = new MountNamespace(holder)
    const own = readlinkSync('/proc/self/ns/mnt')
    await holder.waitUntil('its mount namespace', () => {
      const ready = readFileSync(`/proc/${holder.pid}/comm`, 'utf8').trim() === 'sleep'
      return ready && readlinkSync(`/proc/${holder.pid}/ns/mnt`) !== own
    })
    return namespace
  }

  private constructor(holder: Program) {
    this.#holder = holder
  }

  /** The command line that runs a program inside; the pid stays that of the program. */
  inside(command: string, args: string[]): { command: string; args: string[] } {
    const enter = [`--mount=/proc/${this.#holder.pid}/ns/mnt`, '--no-fork', command]
    return { command: 'nsenter', args: [...enter, ...args] }
  }

  /** Where a path of the namespace is read from outside. */
  view(path: string): string {
    return join(`/proc/${this.#holder.pid}/root`, path)
  }

  /** What is mounted inside, as type and path, oldest first. */
  mounts(): { path: string; type: string; options: string }[] {
    const lines = readFileSync(`/proc/${this.#holder.pid}/mountinfo`, 'utf8').trim().split('\n')
    return lines.map((line) => {
      const [before = '', after = ''] = line.split(' - ')
      return {
        path: unescaped(before.split(' ')[4] ?? ''),
        type: after.split(' ')[0] ?? '',
        options: before.split(' ')[5] ?? '',
      }
    })
  }

  /** Ends it, and with it all that is mounted inside. */
  async stop(): Promise<void> {
    await this.#holder.kill()
  }
}

function unescaped(path: string): string {
  return path.replace(/\\([0-7]{3})/g, (_all, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  )
}
