import { execFileSync } from 'node:child_process'
import { readFileSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../commands/program.ts'
import type { OpenBao } from '../real/vault/openbao.ts'
import { obtain } from '../real/host/parts.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

/** A document in docs/, whose blocks of code have marks such as `<!-- example: class -->`. */
export class DocumentText {
  readonly text: string
  readonly #file: string

  constructor(file: string) {
    this.#file = file
    this.text = readFileSync(join(ROOT, 'docs', file), 'utf8')
  }

  /** The block of code after a mark. */
  block(mark: string): string {
    const [, after] = this.text.split(`<!-- ${mark} -->\n`)
    const [, text] = /^\s*```\w+\n([^]*?)```/.exec(after ?? '') ?? []
    if (text === undefined) throw new Error(`docs/${this.#file} has no block ${mark}`)
    return text
  }
}

/** A shell in which commands of a document run, with `bao` and a token of an operator. */
export class OperatorShell {
  readonly folder = tempFolder('operator')
  readonly #environment: Record<string, string>

  static async open(bao: OpenBao, more: Record<string, string> = {}): Promise<OperatorShell> {
    const shell = new OperatorShell(bao, more)
    symlinkSync(await obtain('bao'), join(shell.folder, 'bao'))
    return shell
  }

  private constructor(bao: OpenBao, more: Record<string, string>) {
    this.#environment = {
      PATH: `${this.folder}:${process.env['PATH'] ?? ''}`,
      HOME: this.folder,
      BAO_ADDR: bao.address,
      BAO_TOKEN: bao.rootToken,
      ...more,
    }
  }

  /** Runs a script that ends at its first error. Returns its standard output. */
  run(script: string): string {
    return execFileSync('bash', ['--norc', '-euo', 'pipefail', '-c', script], {
      cwd: this.folder,
      env: this.#environment,
      encoding: 'utf8',
    })
  }
}
