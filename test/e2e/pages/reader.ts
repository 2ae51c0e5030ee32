// The parts of the clean host that the pages share: an administrator, Vault, and what the units started.
import { execFileSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { ROOT } from '../../commands/program.ts'
import { DocumentText } from '../../csi/document.ts'
import type { KubeNode } from '../../real/cluster/kube-node.ts'
import { obtain } from '../../real/host/parts.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import type { OpenBao } from '../../real/vault/openbao.ts'
import { Administrator, type Block } from '../node/clean-host.ts'

const INSTALLED = '/opt/transit-bridge'

/** A page and an administrator who follows it. */
export class Reader {
  readonly administrator: Administrator
  /** In which commands are typed. */
  readonly folder: string
  #page: DocumentText
  readonly #state = tempFolder('systemd')
  readonly #node: KubeNode | undefined

  /** With a node, the reader sits at a terminal of that node. */
  static async open(
    t: Test,
    page: string,
    bao: OpenBao,
    kubeconfig: string,
    node?: KubeNode,
  ): Promise<Reader> {
    const reader = new Reader(page, bao, kubeconfig, node)
    t.teardown(() => {
      reader.#stopUnits()
    })
    const { administrator } = reader
    for (const name of ['bao', 'helm', 'kubectl'] as const)
      administrator.has(name, `exec ${await obtain(name)} "$@"`)
    administrator.has('k3s', 'shift; exec kubectl "$@"')
    const systemctl = join(import.meta.dirname, 'systemctl.ts')
    administrator.has('systemctl', `exec ${process.execPath} ${systemctl} ${reader.#state} "$@"`)
    return reader
  }

  private constructor(page: string, bao: OpenBao, kubeconfig: string, node?: KubeNode) {
    this.#node = node
    this.#page = new DocumentText(page)
    const answers = [
      { question: /Token .*: /, answer: bao.rootToken },
      { question: /\[y\/N\] /, answer: 'y' },
    ]
    this.folder = tempFolder('reader')
    this.administrator = new Administrator(this.folder, answers, kubeconfig)
  }

  /** Opens another page, in the same terminal. */
  turnTo(page: string): void {
    this.#page = new DocumentText(page)
  }

  /** The block of code after a mark of the page. */
  block(mark: string): Block {
    return { language: '', text: this.#page.block(mark) }
  }

  /** Types the commands after a mark; returns what the terminal shows. */
  types(mark: string): Promise<string> {
    return this.runs(this.block(mark).text)
  }

  /** Types other commands. */
  runs(text: string): Promise<string> {
    const enter = this.#node?.enter
    const inside = enter === undefined ? [] : [...enter, 'env', '-C', this.folder]
    return this.administrator.types({ language: 'sh', text }, inside)
  }

  /** What systemctl received. */
  systemctl(): string {
    return readFileSync(join(this.#state, 'systemctl.log'), 'utf8')
  }

  #stopUnits(): void {
    for (const name of readdirSync(this.#state).filter((each) => each.endsWith('.pid')))
      process.kill(Number(readFileSync(join(this.#state, name), 'utf8')))
  }
}

/** The program, as a package installs it: its files are in a folder that units can read. */
export function installProgram(): void {
  mkdirSync(INSTALLED)
  execFileSync('mount', ['--bind', ROOT, INSTALLED])
  symlinkSync(join(INSTALLED, 'bin/transit-bridge'), '/usr/local/bin/transit-bridge')
}
