/**
 * Runs a parser that creates an Error for each thing that is wrong with a text, which can be thousands. Their stacks are
 * never shown, and recording them takes more time and memory than parsing (docs/design.md, "Configuration").
 */
export function withoutStacks<T>(parse: () => T): T {
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = 0
  try {
    return parse()
  } finally {
    Error.stackTraceLimit = limit
  }
}
