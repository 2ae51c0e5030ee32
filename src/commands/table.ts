import { CLUSTER_COMMANDS } from './cluster-commands.ts'
import { ETCD_OPTIONS } from './cli/option-sets.ts'
import { requireValue, type Command, type CommandGroup } from './cli/command.ts'
import {
  CONFIG_CHECK_USAGE,
  CONFIG_ENCRYPTION_USAGE,
  CONFIG_NODE_USAGE,
  CONFIG_SCHEMA_USAGE,
  CONFIG_USAGE,
  CSI_CHECK_USAGE,
  CSI_USAGE,
  DOCTOR_USAGE,
  KMS_USAGE,
  SETUP_USAGE,
  VERIFY_USAGE,
} from './usage.ts'
import {
  INSTALL_NODE_USAGE,
  PROBE_USAGE,
  RETIRE_NODES_USAGE,
  ROUND_TRIP_USAGE,
} from './usage-node.ts'

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
        const { loadProviderConfig } = await import('../config/load.ts')
        const loaded = await loadProviderConfig(
          requireValue(values, 'config'),
          terminal.environment,
        )
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
      encryption: {
        usage: CONFIG_ENCRYPTION_USAGE,
        options: {
          config: { takes: 'FILE' },
          resources: { takes: 'LIST' },
          name: { takes: 'NAME' },
          timeout: { takes: 'DURATION' },
          from: { takes: 'PROVIDER' },
          step: { takes: 'STEP' },
          check: { takes: 'FILE' },
          json: {},
        },
        run: async (values, terminal) => {
          const { runConfigEncryption } = await import('./config-encryption.ts')
          return runConfigEncryption(values, terminal)
        },
      },
      node: {
        usage: CONFIG_NODE_USAGE,
        options: {
          config,
          shape: { takes: 'SHAPE', required: true },
          'host-config': { takes: 'FILE' },
          image: { takes: 'IMAGE' },
          program: { takes: 'FILE' },
        },
        run: async (values, terminal) => {
          const { runConfigNode } = await import('./config-node.ts')
          return runConfigNode(values, terminal)
        },
      },
    },
  },
  setup: {
    usage: SETUP_USAGE,
    options: {
      config,
      'token-file': { takes: 'FILE' },
      kubeconfig: { takes: 'FILE' },
      jwks: { takes: 'FILE' },
      'service-account-key': { takes: 'FILE' },
      issuer: { takes: 'ISSUER' },
      'service-account': { takes: 'NAMESPACE/NAME' },
      audience: { takes: 'NAME' },
      policy: { takes: 'NAME' },
      'kubernetes-host': { takes: 'URL' },
      'kubernetes-ca': { takes: 'FILE' },
      'reviewer-token-file': { takes: 'FILE' },
      'no-reviewer-token': {},
      remove: {},
      'dry-run': {},
      output: { takes: 'FORM' },
      yes: {},
    },
    run: async (values, terminal) => {
      const { runSetup } = await import('./setup.ts')
      return runSetup(values, terminal)
    },
  },
  doctor: {
    usage: DOCTOR_USAGE,
    options: {
      config,
      survive: { takes: 'DURATION' },
      manifest: { takes: 'FILE' },
      'encryption-config': { takes: 'FILE' },
      peers: { takes: 'LIST' },
      json: {},
    },
    run: async (values, terminal) => {
      const { runDoctor } = await import('./doctor.ts')
      return runDoctor(values, terminal)
    },
  },
  'install-node': {
    usage: INSTALL_NODE_USAGE,
    options: {
      config,
      image: { takes: 'IMAGE', required: true },
      token: { takes: 'FILE' },
      ca: { takes: 'FILE' },
      root: { takes: 'DIR' },
      'host-config': { takes: 'FILE' },
      manifests: { takes: 'DIR' },
      interval: { takes: 'DURATION' },
      listen: { takes: 'HOST:PORT' },
      once: {},
      remove: {},
    },
    run: async (values, terminal) => {
      const { runInstallNode } = await import('./install-node.ts')
      return runInstallNode(values, terminal)
    },
  },
  'retire-nodes': {
    usage: RETIRE_NODES_USAGE,
    options: {
      daemonset: { takes: 'NAMESPACE/NAME', required: true },
      timeout: { takes: 'DURATION' },
    },
    run: async (values, terminal) => {
      const { runRetireNodes } = await import('./retire-nodes.ts')
      return runRetireNodes(values, terminal)
    },
  },
  probe: {
    usage: PROBE_USAGE,
    options: { socket: { takes: 'FILE', required: true } },
    run: async (values, terminal) => {
      const { runProbe } = await import('./probe.ts')
      return runProbe(values, terminal)
    },
  },
  'round-trip': {
    usage: ROUND_TRIP_USAGE,
    options: { socket: { takes: 'FILE', required: true } },
    run: async (values, terminal) => {
      const { runRoundTrip } = await import('./round-trip.ts')
      return runRoundTrip(values, terminal)
    },
  },
  verify: {
    usage: VERIFY_USAGE,
    options: {
      ...ETCD_OPTIONS,
      rate: { takes: 'N' },
      snapshot: { takes: 'FILE' },
      'skip-hash-check': {},
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
  ...CLUSTER_COMMANDS,
}
