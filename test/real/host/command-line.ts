export interface DevelopmentCommand<Options> {
  readonly usage: string
  /** Reads the command line; "help" if it asks for the usage. Throws if it is wrong. */
  readonly parse: (args: readonly string[]) => Options | 'help'
  readonly run: (options: Options) => Promise<void>
}

/** Runs a command for developers: prints its usage for --help, and ends with 2 if its command line is wrong. */
export async function runCommand<Options>({
  usage,
  parse,
  run,
}: DevelopmentCommand<Options>): Promise<void> {
  let options: Options | 'help'
  try {
    options = parse(process.argv.slice(2))
  } catch (error) {
    const words = error instanceof Error ? error.message : String(error)
    process.stderr.write(`${words}\n${usage}`)
    process.exitCode = 2
    return
  }
  if (options === 'help') process.stdout.write(usage)
  else await run(options)
}
