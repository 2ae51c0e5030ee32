import { planAuthMount, planMountRemoval } from './login-part.ts'
import { join, NOTHING, remark, type Plan } from './plan.ts'
import { planEngine, planEngineRemoval } from './transit-part.ts'
import type { VaultSettings } from '../operator/vault-settings.ts'
import type { WantedPlugin, WantedProvider } from './wanted.ts'

/** The engine and the login of the CSI provider. What it shares with the plugin is in both plans. */
export async function planProvider(vault: VaultSettings, wanted: WantedProvider): Promise<Plan> {
  const { mount, login } = wanted
  return join(
    await planEngine(vault, mount),
    typeof login === 'string' ? remark('note', login) : await planAuthMount(vault, login),
  )
}

/** Leaves what the plugin also uses to the plan for the plugin. */
export async function planProviderRemoval(
  vault: VaultSettings,
  { mount, login }: WantedProvider,
  plugin: WantedPlugin | undefined,
): Promise<Plan> {
  const ownsLogin = typeof login !== 'string' && login.mount !== plugin?.login?.mount
  const ownsEngine = mount !== plugin?.transit.mount
  return join(
    ownsLogin ? await planMountRemoval(vault, login.mount) : NOTHING,
    ownsEngine ? await planEngineRemoval(vault, mount) : NOTHING,
  )
}
