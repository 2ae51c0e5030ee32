import { systemClock } from '../time/clock.ts'
import type { Config } from '../config/config.ts'
import { loadConfig } from '../config/load.ts'
import { listChoices } from '../text/nearest.ts'
import { BridgeError } from '../errors.ts'
import { findAdminToken } from '../operator/token.ts'
import { formatCommands } from '../setup/plan-commands.ts'
import { formatHcl } from '../setup/plan-hcl.ts'
import { formatPlan, formatPlanJson } from '../setup/plan-text.ts'
import type { Plan } from '../setup/plan.ts'
import { applyPlan, planRemoval, planSetup } from '../setup/survey.ts'
import { VaultSettings } from '../operator/vault-settings.ts'
import type { Wanted } from '../setup/wanted.ts'
import { createLogger } from '../telemetry/log.ts'
import { createMetrics } from '../telemetry/metrics.ts'
import { createVaultClient } from '../vault/client/client.ts'
import { version } from '../version.ts'
import { requireValue, type OptionValues } from './cli/command.ts'
import { askAtTerminal, type Ask } from './cli/confirm.ts'
import { readWanted } from './setup-options.ts'
import {
  complain,
  EXIT_FAILED,
  EXIT_MISTAKE,
  EXIT_OK,
  print,
  type Terminal,
} from './cli/terminal.ts'

/** One try of one request; enabling an engine takes longer than what vault.timeout is meant for. */
const REQUEST_TIMEOUT = 10_000

const FORMS: Readonly<Record<string, (plan: Plan, namespace: string | undefined) => string>> = {
  text: formatPlan,
  hcl: formatHcl,
  commands: formatCommands,
  json: formatPlanJson,
}

/** Makes Vault ready, or shows what would change; with --remove takes it back. */
export async function runSetup(
  values: OptionValues,
  terminal: Terminal,
  ask: Ask = askAtTerminal(),
): Promise<number> {
  const format = readForm(values)
  const config = await loadConfig(requireValue(values, 'config'), terminal.environment)
  const tokenFile = values['token-file']
  const token = await findAdminToken(
    typeof tokenFile === 'string' ? tokenFile : undefined,
    terminal.environment,
  )
  const wanted = await readWanted(config, values)
  const client = createAdminClient(config)
  try {
    const vault = new VaultSettings({ client, token, clock: systemClock })
    const survey = values['remove'] === true ? planRemoval : planSetup
    const plan = await survey(vault, wanted)
    print(terminal, format(plan, config.vault.namespace))
    if (values['dry-run'] === true) return plan.remarks.some(isStop) ? EXIT_FAILED : EXIT_OK
    const code = await carryOut({ vault, plan, terminal, ask, yes: values['yes'] === true })
    if (code === EXIT_OK && values['remove'] !== true)
      await confirmDone(vault, wanted, plan, config, terminal)
    return code
  } finally {
    await client.close()
  }
}

function readForm(values: OptionValues) {
  const name = values['output'] ?? 'text'
  const form = typeof name === 'string' && Object.hasOwn(FORMS, name) ? FORMS[name] : undefined
  if (form === undefined)
    throw mistake(`--output is not a form; write ${listChoices(Object.keys(FORMS))}`)
  if (name !== 'text' && values['dry-run'] !== true)
    throw mistake('--output is of use only with --dry-run')
  if (values['dry-run'] === true && values['yes'] === true)
    throw mistake('--dry-run and --yes exclude each other')
  return form
}

function createAdminClient({ vault }: Config) {
  const { addresses, namespace, caFile, serverName } = vault
  return createVaultClient({
    addresses,
    namespace,
    caFile,
    serverName,
    timeoutMs: Math.max(vault.timeoutMs, REQUEST_TIMEOUT),
    clock: systemClock,
    log: createLogger('silent'),
    metrics: createMetrics(version),
  })
}

interface Work {
  readonly vault: VaultSettings
  readonly plan: Plan
  readonly terminal: Terminal
  readonly ask: Ask
  readonly yes: boolean
}

async function carryOut({ vault, plan, terminal, ask, yes }: Work): Promise<number> {
  if (plan.remarks.some(isStop)) {
    complain(terminal, 'setup: nothing was changed; decide first about what says stop')
    return EXIT_FAILED
  }
  if (plan.changes.length === 0) return EXIT_OK
  if (!yes && !((await ask?.('Apply these changes?')) ?? false)) {
    complain(terminal, `setup: nothing was changed${ask === undefined ? '; --yes applies it' : ''}`)
    return EXIT_MISTAKE
  }
  await applyPlan(vault, plan, (what) => print(terminal, `done: ${what}`))
  return EXIT_OK
}

function isStop({ level }: Plan['remarks'][number]): boolean {
  return level === 'stop'
}

/** Reads everything again: what setup said is so, or it says that it is not. */
async function confirmDone(
  vault: VaultSettings,
  wanted: Wanted,
  { changes }: Plan,
  config: Config,
  terminal: Terminal,
): Promise<void> {
  if (changes.length > 0) {
    const left = await planSetup(vault, wanted)
    if (left.changes.length > 0) {
      const names = left.changes.map(({ what }) => what).join(', ')
      throw new BridgeError(
        'VAULT_REJECTED',
        `vault took all changes, and still differs in: ${names}`,
      )
    }
    print(terminal, 'ready: vault is as it should be')
  }
  if (config.csi !== undefined) print(terminal, explainCsi(config.csi))
}

/** Which workloads get which keys is the administrator's to say. */
function explainCsi({ auth, audience, mount }: NonNullable<Config['csi']>): string {
  const bound =
    auth.method === 'jwt'
      ? `role_type=jwt user_claim=sub bound_audiences=${audience} bound_subject=system:serviceaccount:NAMESPACE:NAME`
      : `audience=${audience} bound_service_account_namespaces=NAMESPACE bound_service_account_names=NAME`
  return [
    'note: the CSI provider logs in as each pod and needs no role of its own. For a workload, with its keys in',
    `      ${mount}/, write a policy and: bao write auth/${auth.mount}/role/ROLE ${bound} token_policies=POLICY`,
  ].join('\n')
}

function mistake(message: string): BridgeError {
  return new BridgeError('USAGE_INVALID', `setup: ${message}`)
}
