import { NODE_KEY_FILE } from '../../files/systemd-credential.ts'
import { KEY_UNIT } from '../../node/key/key-unit.ts'
import { applyNodeKey, planNodeKey, type NodeKeyStep } from '../../node/key/node-key.ts'
import { SEALING_KEYS, SystemdCreds } from '../../files/systemd-creds.ts'
import { askAtTerminal, explainNoTerminal, type Ask } from '../cli/confirm.ts'
import { defineCommand, type CommandValues } from '../cli/command.ts'
import { choice, flag, fullPathOr, text } from '../cli/option.ts'
import { EXIT_MISTAKE, EXIT_OK, print, warn, type Terminal } from '../cli/terminal.ts'

const options = {
  withKey: choice(
    'KEY',
    SEALING_KEYS,
    'auto',
    'What encrypts the node key: auto, host, tpm2 or host+tpm2. auto uses the TPM 2 if there is one. With host alone, anyone with the disk of this node has the node key.',
  ),
  tpm2Device: text('DEVICE', 'The TPM 2, as for systemd-creds. Default: systemd finds it.'),
  replace: flag(
    'Create a new node key. The sealed file of the old one is ignored, and replaced when Vault answers.',
  ),
  root: fullPathOr(
    'FOLDER',
    '/',
    'Where the file system of this node is mounted. It must have the same host key as the system that runs this command, unless --with-key is tpm2.',
  ),
  dryRun: flag('Only show what would change.'),
  yes: flag('Do not ask for confirmation.'),
}

type NodeKeyValues = CommandValues<typeof options>

export const setupNodeKeyCommand = defineCommand({
  name: 'setup node-key',
  usage: ['[--with-key KEY] [--dry-run | --yes] [OPTIONS]'],
  description: `
Create the node key of this node, which seals the file of kms.localKeys.sealedFile,
and the systemd unit that puts it into memory at each boot. systemd-creds encrypts it
with the TPM 2 of this machine, with a key of the host, or with both. It first
shows what would change, and asks for confirmation.

Losing the node key costs availability, never data: Transit can decrypt everything.`,
  options,
  exitCodes: '0 done or nothing to do, 1 failed, 2 wrong usage or not confirmed.',
  examples: [
    '$ transit-bridge setup node-key',
    '$ transit-bridge setup node-key --with-key host+tpm2 --yes',
  ],
  run: runSetupNodeKey,
})

async function runSetupNodeKey(values: NodeKeyValues, terminal: Terminal): Promise<number> {
  const { withKey, replace, root } = values
  const creds = new SystemdCreds({ tpm2Device: values.tpm2Device })
  await creds.requireVersion()
  const wanted = { creds, withKey, replace, root }
  const steps = await planNodeKey(wanted)
  print(terminal, formatSteps(steps))
  if (steps.every(({ change }) => change === 'none')) {
    // An earlier run may have been interrupted before its reader did what comes next.
    print(terminal, `nothing to do\n${formatNext()}`)
    return EXIT_OK
  }
  if (values.dryRun) {
    print(terminal, formatNext())
    return EXIT_OK
  }
  if (!values.yes && !(await confirm(terminal, askAtTerminal()))) return EXIT_MISTAKE
  await applyNodeKey(wanted, steps)
  print(terminal, formatNext())
  return EXIT_OK
}

const SIGNS: Readonly<Record<NodeKeyStep['change'], string>> = {
  create: '+ create ',
  replace: '~ replace',
  none: '  exists ',
}

function formatSteps(steps: readonly NodeKeyStep[]): string {
  const warnings = steps.flatMap(({ warning }) =>
    warning === undefined ? [] : [`warn: ${warning}`],
  )
  return [...steps.map(formatStep), ...warnings].join('\n')
}

function formatStep({ change, path, what }: NodeKeyStep): string {
  return `${SIGNS[change]}  ${path}: ${what}`
}

async function confirm(terminal: Terminal, ask: Ask): Promise<boolean> {
  if (ask === undefined) {
    warn(terminal, `${explainNoTerminal()}; pass --yes to make these changes, or --dry-run`)
    return false
  }
  if (await ask('Make these changes?')) return true
  warn(terminal, 'not confirmed; nothing was changed')
  return false
}

const CONFIG = '--config /etc/transit-bridge/config.yaml'

/** The steps of docs/availability.md, with the usual paths. */
function formatNext(): string {
  return [
    '',
    'Next:',
    '(on each control-plane node; change the paths if yours differ)',
    '1. Run:',
    ...KEY_UNIT.commands.map((command) => `     ${command}`),
    '2. Add this to the configuration of the plugin:',
    '     kms:',
    '       localKeys:',
    '         enabled: true',
    '         sealedFile: /var/lib/transit-bridge/local-keys',
    `         nodeKeyFile: ${NODE_KEY_FILE}`,
    '3. Replace the unit or static pod of the plugin with what this prints. SHAPE is how the plugin runs:',
    '   static-pod, systemd, k3s, rke2 or daemonset. Run the script that it prints for k3s and rke2:',
    `     transit-bridge config node --shape SHAPE ${CONFIG}`,
    '4. Restart the plugin, one node after the other. If it is a unit:',
    '     systemctl daemon-reload',
    '     systemctl restart transit-bridge-kms',
    'When all nodes are done:',
    '5. Rewrite all data under local keys, once, with an operator token:',
    `     transit-bridge rotate ${CONFIG} --kubeconfig /etc/kubernetes/admin.conf --encryption-config /etc/kubernetes/encryption/config.yaml`,
    '6. Check each node:',
    `     transit-bridge doctor ${CONFIG}`,
    `     transit-bridge verify --offline ${CONFIG}`,
    'With the chart, the settings are values instead of steps 2 to 4; see docs/availability.md.',
  ].join('\n')
}
