import type { CommandTable } from './cli/command-table.ts'
import { csiEntry, kmsEntry } from './servers.ts'

/** Every command, by name, in the order of the help. */
export const COMMANDS: CommandTable = {
  kms: kmsEntry,
  csi: csiEntry,
  forward: {
    summary: 'Forward a local TCP port in a pod to the socket in its volume.',
    load: async () => (await import('./forward.ts')).forwardCommand,
  },
  config: {
    summary: 'Check a configuration, and print the files made from it.',
    commands: {
      check: {
        summary: 'Check a configuration, and show what would run.',
        load: async () => (await import('./config/check.ts')).configCheckCommand,
      },
      schema: {
        summary: 'Print the JSON Schema of the configuration.',
        load: async () => (await import('./config/schema.ts')).configSchemaCommand,
      },
      encryption: {
        summary: 'Print or check an EncryptionConfiguration.',
        load: async () => (await import('./config/encryption.ts')).configEncryptionCommand,
      },
      node: {
        summary: 'Print the files that run the plugin on a node.',
        load: async () => (await import('./config/node.ts')).configNodeCommand,
      },
    },
  },
  setup: {
    summary: 'Prepare Vault for the plugin, or show what would change.',
    own: async () => (await import('./setup/setup.ts')).setupCommand,
    commands: {
      'node-key': {
        summary: 'Create the node key that seals the local keys of this node.',
        load: async () => (await import('./setup/node-key.ts')).setupNodeKeyCommand,
      },
    },
  },
  doctor: {
    summary: 'Check this node, and report what to fix.',
    load: async () => (await import('./doctor.ts')).doctorCommand,
  },
  'install-node': {
    summary: 'Install the plugin on this node and keep its files up to date.',
    load: async () => (await import('./node/install-node.ts')).installNodeCommand,
  },
  'retire-nodes': {
    summary: 'Remove the plugin from all nodes before a Helm release is removed.',
    load: async () => (await import('./node/retire-nodes.ts')).retireNodesCommand,
  },
  'round-trip': {
    summary: 'Send a plugin the calls that kube-apiserver sends.',
    load: async () => (await import('./round-trip.ts')).roundTripCommand,
  },
  probe: {
    summary: 'Check that a plugin or a provider answers on its socket.',
    load: async () => (await import('./probe.ts')).probeCommand,
  },
  verify: {
    summary: 'Prove from etcd, or from an etcd snapshot, that stored objects are encrypted.',
    load: async () => (await import('./verify.ts')).verifyCommand,
  },
  rewrite: {
    summary: 'Re-encrypt objects stored under an old key or in plaintext.',
    load: async () => (await import('./rewrite.ts')).rewriteCommand,
  },
  rotate: {
    summary: 'Rotate the key, from Vault to the last stored object.',
    load: async () => (await import('./rotate/rotate.ts')).rotateCommand,
  },
  status: {
    summary: 'Show plugins, API servers, key and stored data at a glance.',
    load: async () => (await import('./status.ts')).statusCommand,
  },
  audit: {
    summary: 'Match the audit files of Vault with the logs of plugins.',
    load: async () => (await import('./audit.ts')).auditCommand,
  },
  drill: {
    summary: 'Rehearse a disaster: a backup, an outage, a restore.',
    commands: {
      backup: {
        summary: 'Check that an etcd snapshot is encrypted and that Vault can decrypt it.',
        load: async () => (await import('./drill/backup.ts')).drillBackupCommand,
      },
      outage: {
        summary: 'Disconnect a plugin from Vault, and record what happens.',
        load: async () => (await import('./drill/outage.ts')).drillOutageCommand,
      },
      restore: {
        summary: 'Check each step of a restore into a new cluster.',
        load: async () => (await import('./drill/restore.ts')).drillRestoreCommand,
      },
    },
  },
  escrow: {
    summary: 'Keep a way to read the Secrets if Vault is destroyed.',
    commands: {
      create: {
        summary: 'Encrypt the keys of stored data for holders of shares, or for age recipients.',
        load: async () => (await import('./escrow/create.ts')).escrowCreateCommand,
      },
      check: {
        summary: 'Check that an escrow covers everything, without opening it.',
        load: async () => (await import('./escrow/check.ts')).escrowCheckCommand,
      },
      open: {
        summary: 'Write the Secrets of an etcd snapshot to a folder, without Vault.',
        load: async () => (await import('./escrow/open.ts')).escrowOpenCommand,
      },
    },
  },
  completion: {
    summary: 'Print a completion script for bash, zsh or fish.',
    load: async () => (await import('./completion/completion.ts')).makeCompletionCommand(COMMANDS),
  },
}
