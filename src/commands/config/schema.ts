import { createJsonSchema } from '../../config/schema/json-schema.ts'
import { defineCommand } from '../cli/command.ts'
import { EXIT_OK, print } from '../cli/terminal.ts'

export const configSchemaCommand = defineCommand({
  name: 'config schema',
  usage: [''],
  description: `
Print the JSON Schema (draft 7) of the configuration, for editors and for CI.

To use it with the YAML language server, write this on the first line of a
configuration:

    # yaml-language-server: $schema=transit-bridge.schema.json`,
  options: {},
  examples: ['$ transit-bridge config schema > transit-bridge.schema.json'],
  run: async (_values, terminal) => {
    print(terminal, JSON.stringify(createJsonSchema(), null, 2))
    return EXIT_OK
  },
})
