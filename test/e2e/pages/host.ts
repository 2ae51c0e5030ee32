// The parts of the clean host that the pages share: an administrator, Vault, and what the units started.
import { existsSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { ROOT } from '../../commands/program.ts'
import { DocumentText } from '../../csi/document.ts'
import { obtain } from '../../real/host/parts.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import type { OpenBao } from '../../real/vault/openbao.ts'
import { Administrator, type Block } from '../node/clean-host.ts'

/** A page and an administrator who follows it. */
export class Reader {
  readonly administrator: Administrator
  readonly #page: DocumentText
  readonly #state = tempFolder('systemd')

  static async open(t: Test, page: string, bao: OpenBao, kubeconfig: string): Promise<Reader> {
    const reader = new Reader(page, bao, kubeconfig)
    t.teardown(() => {
      reader.#stopUnits()
    })
    const { administrator } = reader
    for (const name of ['bao', 'kubectl'] as const)
      administrator.has(name, `exec ${await obtain(name)} "$@"`)
    administrator.has('k3s', 'shift; exec kubectl "$@"')
    const systemctl = join(import.meta.dirname, 'systemctl.ts')
    administrator.has('systemctl', `exec ${process.execPath} ${systemctl} ${reader.#state} "$@"`)
    return reader
  }

  private constructor(page: string, bao: OpenBao, kubeconfig: string) {
    this.#page = new DocumentText(page)
    const answers = [
      { question: /Token .*: /, answer: bao.rootToken },
      { question: /\[y\/N\] /, answer: 'y' },
    ]
    this.administrator = new Administrator(tempFolder('reader'), answers, kubeconfig)
  }

  /** The block of code after a mark of the page. */
  block(mark: string): Block {
    return { language: '', text: this.#page.block(mark) }
  }

  /** Types the commands after a mark; returns what the terminal shows. */
  types(mark: string): Promise<string> {
    return this.administrator.types(this.block(mark))
  }

  /** What systemctl received. */
  systemctl(): string {
    return readFileSync(join(this.#state, 'systemctl.log'), 'utf8')
  }

  #stopUnits(): void {
    const file = join(this.#state, 'pids')
    if (!existsSync(file)) return
    for (const pid of readFileSync(file, 'utf8').trim().split('\n')) process.kill(Number(pid))
  }
}

/** The program, as a package installs it. */
export function installProgram(): void {
  symlinkSync(join(ROOT, 'bin/transit-bridge'), '/usr/local/bin/transit-bridge')
}
