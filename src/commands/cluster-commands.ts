import type { Command, CommandGroup } from './cli/command.ts'
import { CLUSTER_OPTIONS, ETCD_OPTIONS } from './cli/option-sets.ts'
import {
  AUDIT_USAGE,
  DRILL_BACKUP_USAGE,
  DRILL_OUTAGE_USAGE,
  DRILL_RESTORE_USAGE,
  DRILL_USAGE,
  REWRITE_USAGE,
  ROTATE_USAGE,
  STATUS_USAGE,
} from './usage-cluster.ts'

/** The commands that look after a cluster's stored data. */
export const CLUSTER_COMMANDS: Readonly<Record<string, Command | CommandGroup>> = {
  rewrite: {
    usage: REWRITE_USAGE,
    options: {
      ...CLUSTER_OPTIONS,
      ...ETCD_OPTIONS,
      'encryption-config': { takes: 'FILE' },
      resources: { takes: 'LIST' },
      method: { takes: 'METHOD' },
      rate: { takes: 'N' },
      patience: { takes: 'DURATION' },
      state: { takes: 'FILE' },
      'dry-run': {},
    },
    run: async (values, terminal) => {
      const { runRewriteCommand } = await import('./rewrite.ts')
      return runRewriteCommand(values, terminal)
    },
  },
  rotate: {
    usage: ROTATE_USAGE,
    options: {
      config: { takes: 'FILE', required: true },
      'token-file': { takes: 'FILE' },
      ...CLUSTER_OPTIONS,
      ...ETCD_OPTIONS,
      'encryption-config': { takes: 'FILE' },
      resources: { takes: 'LIST' },
      backup: { takes: 'SNAPSHOT', repeats: true },
      'skip-hash-check': {},
      finish: {},
      plan: {},
      rate: { takes: 'N' },
      patience: { takes: 'DURATION' },
      state: { takes: 'DIR' },
      'yes-raise-min-decryption-version': { takes: 'N' },
    },
    run: async (values, terminal) => {
      const { runRotate } = await import('./rotate.ts')
      return runRotate(values, terminal)
    },
  },
  status: {
    usage: STATUS_USAGE,
    options: {
      config: { takes: 'FILE' },
      'token-file': { takes: 'FILE' },
      ...CLUSTER_OPTIONS,
      ...ETCD_OPTIONS,
      'encryption-config': { takes: 'FILE' },
      'rotate-every': { takes: 'DURATION' },
      json: {},
    },
    run: async (values, terminal) => {
      const { runStatus } = await import('./status.ts')
      return runStatus(values, terminal)
    },
  },
  audit: {
    usage: AUDIT_USAGE,
    options: { key: { takes: 'NAME' }, events: {}, json: {} },
    operand: 'FILE',
    operandRepeats: true,
    run: async (values, terminal) => {
      const { runAudit } = await import('./audit.ts')
      return runAudit(values, terminal)
    },
  },
  drill: {
    usage: DRILL_USAGE,
    commands: {
      backup: {
        usage: DRILL_BACKUP_USAGE,
        options: {
          config: { takes: 'FILE', required: true },
          'etcd-prefix': { takes: 'PREFIX' },
          'skip-hash-check': {},
          'encryption-config': { takes: 'FILE' },
          allow: { takes: 'LIST' },
          json: {},
        },
        operand: 'SNAPSHOT',
        run: async (values, terminal) => {
          const { runDrillBackup } = await import('./drill-backup.ts')
          return runDrillBackup(values, terminal)
        },
      },
      outage: {
        usage: DRILL_OUTAGE_USAGE,
        options: {
          kubeconfig: { takes: 'FILE' },
          context: { takes: 'NAME' },
          'api-server': { takes: 'URL', repeats: true },
          plugin: { takes: 'URL', repeats: true },
          'drill-token': { takes: 'FILE', required: true },
          for: { takes: 'DURATION' },
          namespace: { takes: 'NAME' },
          'i-know-this-can-stop-the-api-server': {},
          json: {},
        },
        run: async (values, terminal) => {
          const { runDrillOutage } = await import('./drill-outage.ts')
          return runDrillOutage(values, terminal)
        },
      },
      restore: {
        usage: DRILL_RESTORE_USAGE,
        options: {
          config: { takes: 'FILE', required: true },
          plugin: { takes: 'URL', repeats: true },
          ...ETCD_OPTIONS,
          json: {},
        },
        operand: 'SNAPSHOT',
        run: async (values, terminal) => {
          const { runDrillRestore } = await import('./drill-restore.ts')
          return runDrillRestore(values, terminal)
        },
      },
    },
  },
}
