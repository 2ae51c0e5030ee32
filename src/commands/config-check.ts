import { ConfigError, formatFault } from '../yaml/fault.ts'
import { readProviderConfig } from '../config/load.ts'
import { summarize } from '../config/summary.ts'
import { complain, EXIT_MISTAKE, EXIT_OK, print, type Terminal } from './cli/terminal.ts'

/** Says whether a configuration is right: with a summary, or with all of its faults. */
export async function checkConfig(
  file: string,
  json: boolean,
  terminal: Terminal,
): Promise<number> {
  try {
    const summary = summarize(await readProviderConfig(file, terminal.environment))
    const text = [`${file}: ok`, ...summary.map((line) => `  ${line}`)].join('\n')
    print(terminal, json ? toJson({ file, ok: true, summary }) : text)
    return EXIT_OK
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    reportFaults(error, json, terminal)
    return EXIT_MISTAKE
  }
}

/** Faults are the answer that was asked for, so they go to standard output. */
function reportFaults({ file, faults }: ConfigError, json: boolean, terminal: Terminal): void {
  const text = faults.map((fault) => formatFault(file, fault)).join('\n')
  print(terminal, json ? toJson({ file, ok: false, faults }) : text)
  complain(terminal, `${file} has ${faults.length === 1 ? 'a fault' : `${faults.length} faults`}`)
}

function toJson(value: object): string {
  return JSON.stringify(value, null, 2)
}
