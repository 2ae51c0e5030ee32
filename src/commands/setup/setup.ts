import { isDeepStrictEqual } from 'node:util'

import { systemClock } from '../../time/clock.ts'
import type { CsiConfig, ProviderConfig } from '../../config/config.ts'
import { BridgeError } from '../../errors.ts'
import { findOperatorToken } from '../../operator/token.ts'
import { formatCommands } from '../../setup/plan-commands.ts'
import { formatHcl } from '../../setup/plan-hcl.ts'
import { formatPlan, formatPlanJson } from '../../setup/plan-text.ts'
import { isStop, type Plan } from '../../setup/plan.ts'
import { applyPlan, planRemoval, planSetup } from '../../setup/survey.ts'
import { VaultSettings } from '../../operator/vault-settings.ts'
import type { Wanted } from '../../setup/wanted.ts'
import { createVaultClient } from '../../vault/client/client.ts'
import { defineCommand, type CommandValues } from '../cli/command.ts'
import { choice, flag, usageError } from '../cli/option.ts'
import { operatorOptions } from '../cli/operator-vault.ts'
import { quietTelemetry } from '../cli/quiet-telemetry.ts'
import { askAtTerminal, explainNoTerminal, type Ask } from '../cli/confirm.ts'
import {
  configurationOptions,
  openConfiguration,
  type SetupConfiguration,
} from './configuration.ts'
import { readWanted, wantedOptions } from './wanted-options.ts'
import { warn, EXIT_FAILED, EXIT_MISTAKE, EXIT_OK, print, type Terminal } from '../cli/terminal.ts'

/** For one attempt of one request: enabling an engine takes longer than vault.timeout usually allows. */
const REQUEST_TIMEOUT_MS = 10_000

const FORM_NAMES = ['text', 'hcl', 'commands', 'json'] as const

const FORMS: Readonly<
  Record<(typeof FORM_NAMES)[number], (plan: Plan, namespace: string | undefined) => string>
> = {
  text: formatPlan,
  hcl: formatHcl,
  commands: formatCommands,
  json: formatPlanJson,
}

const options = {
  ...configurationOptions,
  ...wantedOptions,
  remove: flag('Remove what setup created. A key is never removed.'),
  dryRun: flag('Only show what would change.'),
  output: choice(
    'FORMAT',
    FORM_NAMES,
    'text',
    'With --dry-run: text, hcl (Terraform), commands or json.',
  ),
  yes: flag('Do not ask for confirmation.'),
  ...operatorOptions,
}

type SetupValues = CommandValues<typeof options>

export const setupCommand = defineCommand({
  name: 'setup',
  usage: [
    '--config FILE [KEYS] [--dry-run | --yes] [OPTIONS]',
    '--helm-manifest FILE [KEYS] [--dry-run | --yes] [OPTIONS]',
    '(--config | --helm-manifest) FILE --remove [--dry-run | --yes] [OPTIONS]',
  ],
  description: `
Prepare Vault for the plugin that a configuration describes: Transit and its
key, the login, role and policy, the audited header. For the CSI provider, it
prepares the engine and the login of pods. It first shows what would change, and
asks for confirmation. It does not change what is already correct.`,
  options,
  exitCodes: '0 done or nothing to do, 1 failed, 2 wrong usage or not confirmed.',
  examples: [
    '$ transit-bridge setup --config config.yaml --kubeconfig admin.conf',
    '$ helm get manifest transit-bridge -n transit-bridge > manifest.yaml',
    '$ transit-bridge setup --helm-manifest manifest.yaml --kubeconfig admin.conf',
  ],
  run: runSetup,
})

/** Prepares Vault, or shows what would change; with --remove, removes what setup created. */
export async function runSetup(
  values: SetupValues,
  terminal: Terminal,
  ask: Ask = askAtTerminal(),
): Promise<number> {
  const { dryRun, yes, output } = values
  if (output !== 'text' && !dryRun) throw usageError('--output needs --dry-run')
  if (dryRun && yes) throw usageError('--dry-run and --yes cannot be used together')
  const configuration = await openConfiguration(values, terminal.environment)
  try {
    return await setUp(values, configuration, terminal, ask)
  } finally {
    await configuration.close()
  }
}

async function setUp(
  values: SetupValues,
  configuration: SetupConfiguration,
  terminal: Terminal,
  ask: Ask,
): Promise<number> {
  const { dryRun, yes, remove, output } = values
  const { config } = configuration
  const token = await findOperatorToken(values.tokenFile, terminal.environment)
  const wanted = await readWanted(configuration, values)
  const client = createAdminClient(config)
  try {
    const vault = new VaultSettings({ client, token, clock: systemClock })
    const survey = remove ? planRemoval : planSetup
    const plan = await survey(vault, wanted)
    print(terminal, FORMS[output](plan, config.vault.namespace))
    if (dryRun) return plan.remarks.some(isStop) ? EXIT_FAILED : EXIT_OK
    const code = await carryOut({
      vault,
      plan,
      survey: () => survey(vault, wanted),
      terminal,
      ask,
      yes,
    })
    if (code === EXIT_OK && !remove) await confirmDone(vault, wanted, plan, config, terminal)
    return code
  } finally {
    await client.close()
  }
}

function createAdminClient({ vault }: ProviderConfig) {
  const { addresses, namespace, caFile, serverName, clientCertificate } = vault
  return createVaultClient({
    addresses,
    namespace,
    caFile,
    serverName,
    clientCertificate,
    timeoutMs: Math.max(vault.timeoutMs, REQUEST_TIMEOUT_MS),
    ...quietTelemetry(),
  })
}

interface Work {
  readonly vault: VaultSettings
  readonly plan: Plan
  /** Plans again. */
  readonly survey: () => Promise<Plan>
  readonly terminal: Terminal
  readonly ask: Ask
  readonly yes: boolean
}

async function carryOut({ vault, plan, survey, terminal, ask, yes }: Work): Promise<number> {
  if (plan.remarks.some(isStop)) {
    warn(terminal, 'setup: first resolve the lines that say stop')
    return EXIT_FAILED
  }
  if (plan.changes.length === 0) return EXIT_OK
  if (!yes && !((await ask?.('Apply these changes?')) ?? false)) {
    const why = ask === undefined ? `: ${explainNoTerminal()}; --yes applies it` : ''
    warn(terminal, `setup: nothing was changed${why}`)
    return EXIT_MISTAKE
  }
  // A person may take an hour to answer, and writes replace settings as a whole.
  if (!yes && !isDeepStrictEqual(await survey(), plan)) {
    warn(
      terminal,
      'setup: Vault has changed since the plan was made; nothing was changed; run setup again',
    )
    return EXIT_FAILED
  }
  await applyPlan(vault, plan, (what) => print(terminal, `done: ${what}`))
  return EXIT_OK
}

/** Reads everything again, to report only what is true. */
async function confirmDone(
  vault: VaultSettings,
  wanted: Wanted,
  { changes }: Plan,
  config: ProviderConfig,
  terminal: Terminal,
): Promise<void> {
  if (changes.length > 0) {
    const { changes: found, remarks } = await planSetup(vault, wanted)
    const left = [
      ...found.filter(({ unreadable }) => !unreadable).map(({ what }) => what),
      ...remarks.filter(isStop).map(({ text }) => text),
    ]
    if (left.length > 0) {
      const names = left.join(', ')
      throw new BridgeError(
        'VAULT_REJECTED',
        `Vault accepted all changes, but still differs in: ${names}`,
      )
    }
    print(terminal, `done: ${describeReady(wanted)}`)
  }
  if (config.csi !== undefined) print(terminal, explainCsi(config.csi))
}

/** Some logins are for the administrator to prepare; a remark of the plan says which. */
function describeReady({ plugin, provider }: Wanted): string {
  if (plugin !== undefined && plugin.login === undefined) return 'everything but the login is ready'
  if (typeof provider?.login === 'string') return 'everything but the login of pods is ready'
  return 'Vault is ready'
}

/** The administrator decides which workloads get which keys. */
function explainCsi({ auth, audience, mount }: CsiConfig): string {
  const bound =
    auth.method === 'jwt'
      ? `role_type=jwt user_claim=sub bound_audiences=${audience} bound_subject=system:serviceaccount:NAMESPACE:NAME`
      : `audience=${audience} bound_service_account_namespaces=NAMESPACE bound_service_account_names=NAME`
  return [
    'note: the CSI provider logs in as each pod and needs no role itself. For a workload, with its keys in',
    `      ${mount}/, write a policy and: bao write auth/${auth.mount}/role/ROLE ${bound} token_policies=POLICY`,
  ].join('\n')
}
