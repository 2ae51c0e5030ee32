import type { CommandEntry, GroupEntry } from './cli/command-table.ts'

export const kmsEntry: CommandEntry = {
  summary: 'Serve the KMS v2 plugin that kube-apiserver calls.',
  load: async () => (await import('./kms.ts')).kmsCommand,
}

export const csiEntry: GroupEntry = {
  summary: 'Serve the provider that the Secrets Store CSI driver calls.',
  own: async () => (await import('./csi.ts')).csiCommand,
  commands: {
    check: {
      summary: 'Check SecretProviderClass manifests.',
      load: async () => (await import('./csi/check.ts')).csiCheckCommand,
    },
  },
}
