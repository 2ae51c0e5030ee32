import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { text } from 'node:stream/consumers'

import { obtain } from '../host/parts.ts'

/** A file for {@link askLoaders}. */
export interface Question {
  readonly kind: 'encryption' | 'kubeconfig' | 'manifest'
  readonly text: string
  /** kubectl's --context. */
  readonly context?: string | undefined
}

export interface Answer<Result> {
  readonly accepted: boolean
  readonly error?: string
  readonly result?: Result
}

/**
 * How Kubernetes' own code reads files (tools/kubernetes/loaders), in the order of the questions. Relative paths of a
 * kubeconfig start in the folder.
 */
export async function askLoaders<Result>(
  folder: string,
  questions: readonly Question[],
): Promise<readonly Answer<Result>[]> {
  const program = spawn(await obtain('kubernetes-loaders'), [folder], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const output = text(program.stdout)
  for (const { text: file, ...rest } of questions) {
    const line = JSON.stringify({ ...rest, text: Buffer.from(file).toString('base64') })
    if (!program.stdin.write(`${line}\n`)) await once(program.stdin, 'drain')
  }
  program.stdin.end()
  const lines = (await output).split('\n').filter((line) => line !== '')
  const answers = lines.map((line) => JSON.parse(line) as Answer<Result>)
  if (answers.length === questions.length) return answers
  throw new Error(`${answers.length} answers to ${questions.length} questions`)
}
