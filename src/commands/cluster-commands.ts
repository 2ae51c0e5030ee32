import type { Command, CommandGroup } from './command.ts'
import { CLUSTER_OPTIONS, ETCD_OPTIONS } from './option-sets.ts'
import { REWRITE_USAGE } from './usage-cluster.ts'

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
}
