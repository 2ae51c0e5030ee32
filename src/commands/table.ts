import { requireValue, type Command, type CommandGroup } from './command.ts'
import {
  CONFIG_CHECK_USAGE,
  CONFIG_SCHEMA_USAGE,
  CONFIG_USAGE,
  CSI_CHECK_USAGE,
  CSI_USAGE,
  KMS_USAGE,
  VERIFY_USAGE,
} from './usage.ts'

const config = { takes: 'FILE', required: true }

/** Every command, by name. */
export const COMMANDS: Readonly<Record<string, Command | CommandGroup>> = {
  kms: {
    usage: KMS_USAGE,
    options: { config },
    run: async (values, terminal) => {
      const { loadConfig } = await import('../config/load.ts')
      const loaded = await loadConfig(requireValue(values, 'config'), terminal.environment)
      const { runKms } = await import('./kms.ts')
      return runKms(loaded)
    },
  },
  csi: {
    usage: CSI_USAGE,
    own: {
      usage: CSI_USAGE,
      options: { config },
      run: async (values, terminal) => {
        const { loadConfig } = await import('../config/load.ts')
        const loaded = await loadConfig(requireValue(values, 'config'), terminal.environment)
        const { runCsi } = await import('./csi.ts')
        return runCsi(loaded)
      },
    },
    commands: {
      check: {
        usage: CSI_CHECK_USAGE,
        options: {
          config: { takes: 'FILE' },
          namespace: { takes: 'NAME' },
          'service-account': { takes: 'NAME' },
          json: {},
        },
        operand: 'FILE',
        run: async (values, terminal) => {
          const { checkClasses } = await import('./csi-check.ts')
          return checkClasses(requireValue(values, 'FILE'), values, terminal)
        },
      },
    },
  },
  config: {
    usage: CONFIG_USAGE,
    commands: {
      check: {
        usage: CONFIG_CHECK_USAGE,
        options: { config, json: {} },
        run: async (values, terminal) => {
          const { checkConfig } = await import('./config-check.ts')
          return checkConfig(requireValue(values, 'config'), values['json'] === true, terminal)
        },
      },
      schema: {
        usage: CONFIG_SCHEMA_USAGE,
        options: {},
        run: async (_values, terminal) => {
          const { printSchema } = await import('./config-schema.ts')
          return printSchema(terminal)
        },
      },
    },
  },
  verify: {
    usage: VERIFY_USAGE,
    options: {
      endpoints: { takes: 'LIST' },
      cacert: { takes: 'FILE' },
      cert: { takes: 'FILE' },
      key: { takes: 'FILE' },
      user: { takes: 'NAME' },
      'password-file': { takes: 'FILE' },
      rate: { takes: 'N' },
      snapshot: { takes: 'FILE' },
      'etcd-prefix': { takes: 'PREFIX' },
      resources: { takes: 'LIST' },
      allow: { takes: 'LIST' },
      'encryption-config': { takes: 'FILE' },
      deep: {},
      objects: {},
      config: { takes: 'FILE' },
      json: {},
    },
    run: async (values, terminal) => {
      const { runVerify } = await import('./verify.ts')
      return runVerify(values, terminal)
    },
  },
}
