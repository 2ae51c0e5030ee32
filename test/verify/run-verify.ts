import { Writable } from 'node:stream'
import { main } from '../../src/main.ts'
import type { Report } from '../../src/verify/report.ts'
import { requireNoSecret } from '../real/program/told-secrets.ts'

export type VerifyOutcome = { code: number; stdout: string; stderr: string }

/** Runs `transit-bridge verify` in this process, where coverage sees it. */
export function runVerify(...args: string[]): Promise<VerifyOutcome> {
  return runMain('verify', ...args)
}

/** The same for any command. Throws if its output contains a secret. */
export function runMain(...args: string[]): Promise<VerifyOutcome> {
  return runMainIn({}, ...args)
}

/** The same with an environment. */
export async function runMainIn(
  environment: Readonly<Record<string, string>>,
  ...args: string[]
): Promise<VerifyOutcome> {
  const output = { stdout: '', stderr: '' }
  const sink = (name: keyof typeof output) =>
    new Writable({
      write(chunk: Buffer, _encoding, done) {
        output[name] += chunk.toString('utf8')
        done()
      },
    })
  const terminal = { stdout: sink('stdout'), stderr: sink('stderr'), environment }
  const code = await main(args, terminal)
  requireNoSecret(`the output of ${args.join(' ')}`, `${output.stdout}\n${output.stderr}`)
  return { code, ...output }
}

/** The same with --json; throws what was said if there is no report. */
export async function reportOf(...args: string[]): Promise<{ code: number; report: Report }> {
  const { code, stdout, stderr } = await runVerify(...args, '--json')
  if (stdout === '') throw new Error(stderr)
  return { code, report: JSON.parse(stdout) as Report }
}
