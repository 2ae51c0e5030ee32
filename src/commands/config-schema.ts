import { createJsonSchema } from '../config/json-schema.ts'
import { EXIT_OK, print, type Terminal } from './cli/terminal.ts'

/** Prints the JSON Schema of the configuration. */
export function printSchema(terminal: Terminal): number {
  print(terminal, JSON.stringify(createJsonSchema(), null, 2))
  return EXIT_OK
}
