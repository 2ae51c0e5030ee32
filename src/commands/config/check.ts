import { ConfigError, formatFault } from '../../yaml/fault.ts'
import { readAnyConfig } from '../../config/load.ts'
import { summarize } from '../../config/summary.ts'
import { defineCommand, type CommandValues } from '../cli/command.ts'
import { flag, requiredText } from '../cli/option.ts'
import { warn, EXIT_MISTAKE, EXIT_OK, print, type Terminal } from '../cli/terminal.ts'

const options = {
  config: requiredText('FILE', 'The configuration, in YAML.'),
  json: flag('Print one JSON object: file, ok, and faults or summary.'),
}

export const configCheckCommand = defineCommand({
  name: 'config check',
  usage: ['--config FILE [--json]'],
  description: `
Check a configuration. Prints "FILE: ok" and what would run, or every error, one
per line, and then exits with code 2:

    FILE:LINE: vault.auth.role: is missing; role of the auth method to log in as

A file without the sections kms and csi is checked as that of the KMS plugin.
Without an error, the last line says that only setup accepts it. A line that
starts with "warn:" shows a setting that has no effect.

It connects to nothing and reads none of the files that the configuration names.
The environment variables that the configuration refers to must be set, as they
are for the program.`,
  options,
  exitCodes: '0 no problems found, 2 the configuration or the usage is wrong.',
  examples: ['$ transit-bridge config check --config /etc/transit-bridge/config.yaml'],
  run: checkConfig,
})

/** Checks a configuration: prints a summary, or all errors. */
async function checkConfig(
  { config: file, json }: CommandValues<typeof options>,
  terminal: Terminal,
): Promise<number> {
  try {
    const summary = summarize(await readAnyConfig(file, terminal.environment))
    const text = [`${file}: ok`, ...summary.map((line) => `  ${line}`)].join('\n')
    print(terminal, json ? toJson({ file, ok: true, summary }) : text)
    return EXIT_OK
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    reportFaults(error, json, terminal)
    return EXIT_MISTAKE
  }
}

/** The errors are the result of the command, so they go to standard output. */
function reportFaults({ file, faults }: ConfigError, json: boolean, terminal: Terminal): void {
  const text = faults.map((fault) => formatFault(file, fault)).join('\n')
  print(terminal, json ? toJson({ file, ok: false, faults }) : text)
  warn(terminal, `${file} has ${faults.length === 1 ? 'an error' : `${faults.length} errors`}`)
}

function toJson(value: object): string {
  return JSON.stringify(value, null, 2)
}
