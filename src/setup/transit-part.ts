import { change, join, NOTHING, remark, type Plan } from './plan.ts'
import { asSettings, type Settings, type VaultSettings } from '../operator/vault-settings.ts'
import { authenticatesAad } from '../transit/key.ts'
import { MADE_BY, type WantedPlugin } from './wanted.ts'

/** The type of the keys that setup creates. */
const DEFAULT_TYPE = 'aes256-gcm96'

/** The engine, the key, and disable_upsert, so that a misspelled key name creates no key. */
export async function planTransit(vault: VaultSettings, { transit }: WantedPlugin): Promise<Plan> {
  const { mount } = transit
  const found = await readMount(vault, mount)
  if (found === undefined) return join(addMount(mount), addKey(transit), disableUpsert(mount))
  if (found['type'] !== 'transit') return stopAtType(mount, found, 'transit.mount')
  return join(await planKey(vault, transit), await planUpsert(vault, transit))
}

/** The engine alone: workloads' keys are for the administrator to create. */
export async function planEngine(vault: VaultSettings, mount: string): Promise<Plan> {
  const found = await readMount(vault, mount)
  if (found === undefined) return addMount(mount)
  return found['type'] === 'transit' ? NOTHING : stopAtType(mount, found, 'csi.mount')
}

function stopAtType(mount: string, found: Settings, setting: string): Plan {
  const text = `${mount}/ is an engine of type ${String(found['type'])}; set ${setting} to another mount`
  return remark('stop', text)
}

/** The secrets engine at a mount. */
async function readMount(vault: VaultSettings, mount: string): Promise<Settings | undefined> {
  return asSettings((await vault.read('sys/mounts'))?.[`${mount}/`])
}

function addMount(mount: string): Plan {
  return change({
    action: 'add',
    what: `transit engine at ${mount}/`,
    path: `sys/mounts/${mount}`,
    body: { type: 'transit', description: MADE_BY },
    needs: ['update'],
  })
}

function addKey({ mount, key }: WantedPlugin['transit']): Plan {
  return change({
    action: 'add',
    what: `key ${key} in ${mount}/`,
    details: [`type: ${DEFAULT_TYPE}`, 'exportable: false', 'deletion_allowed: false'],
    path: `${mount}/keys/${key}`,
    // deletion_allowed is false for a new key, and only keys/KEY/config takes it.
    body: { type: DEFAULT_TYPE, exportable: false, allow_plaintext_backup: false },
    needs: ['update'],
  })
}

async function planKey(vault: VaultSettings, transit: WantedPlugin['transit']): Promise<Plan> {
  const { mount, key } = transit
  const found = await vault.read(`${mount}/keys/${key}`)
  if (found === undefined) return addKey(transit)
  return join(judgeKey(found, transit), forbidDeletion(found, transit))
}

/** What cannot be changed: the operator must decide. */
function judgeKey(found: Settings, { mount, key }: WantedPlugin['transit']): Plan {
  const what = `key ${key} in ${mount}/`
  const path = `${mount}/keys/${key}`
  const type = String(found['type'])
  const instead = 'setup does not change it; set transit.key to another name'
  const unfit: readonly Plan[] = [
    ...(authenticatesAad(type)
      ? []
      : [
          remark(
            'stop',
            `${what} is of type ${type}, not ${DEFAULT_TYPE}, and cannot be used; ${instead}`,
          ),
        ]),
    ...(found['derived'] === true
      ? [remark('stop', `${what} is a derived key and cannot be used; ${instead}`)]
      : []),
    ...(found['soft_deleted'] === true
      ? [
          remark(
            'stop',
            `${what} is soft-deleted; restore it: bao write -f ${path}/soft-delete-restore`,
          ),
        ]
      : []),
  ]
  const weak = ['exportable', 'allow_plaintext_backup']
    .filter((name) => found[name] === true)
    .map((name) =>
      remark(
        'warn',
        `${what} has ${name}: true, so the key can leave Vault, and this cannot be undone; ${instead}`,
      ),
    )
  const other =
    authenticatesAad(type) && type !== DEFAULT_TYPE
      ? [remark('note', `${what} is of type ${type}, which works; setup creates ${DEFAULT_TYPE}`)]
      : []
  return join(...unfit, ...weak, ...other)
}

function forbidDeletion(found: Settings, { mount, key }: WantedPlugin['transit']): Plan {
  if (found['deletion_allowed'] !== true) return NOTHING
  return change({
    action: 'change',
    what: `key ${key} in ${mount}/`,
    details: ['deletion_allowed: true -> false'],
    wider: [
      `key ${key} in ${mount}/ may be deleted, and everything that it encrypts would be lost`,
    ],
    path: `${mount}/keys/${key}/config`,
    body: { deletion_allowed: false },
    needs: ['update'],
  })
}

/** The setting is for the whole engine: programs that use other keys of it may rely on an encrypt that creates a key. */
async function planUpsert(
  vault: VaultSettings,
  { mount, key }: WantedPlugin['transit'],
): Promise<Plan> {
  const found = await vault.read(`${mount}/config/keys`)
  if (found?.['disable_upsert'] === true) return NOTHING
  const path = `${mount}/keys`
  const missing = await vault.findMissing([{ path, capabilities: ['list'] }])
  const names = missing.length > 0 ? undefined : await vault.list(path)
  const others = names?.filter((name) => name !== key)
  if (others?.length === 0) return disableUpsert(mount)
  const why =
    others === undefined
      ? `whether ${mount}/ has other keys is unknown (the operator token cannot list ${path})`
      : `${mount}/ also has ${String(others.length)} other ${others.length === 1 ? 'key' : 'keys'}`
  return remark(
    'note',
    `${why}, and disable_upsert applies to all of them; setup does not set it, because another program may rely on an encrypt that creates its key; without it, an encrypt with a misspelled name creates a key`,
  )
}

function disableUpsert(mount: string): Plan {
  return change({
    action: 'change',
    what: `all keys in ${mount}/`,
    details: ['disable_upsert: true, so that an encrypt with a misspelled name creates no key'],
    path: `${mount}/config/keys`,
    body: { disable_upsert: true },
    needs: ['update'],
  })
}

/** Removes an engine that setup created and that has no keys; a key is never deleted. */
export async function planEngineRemoval(vault: VaultSettings, mount: string): Promise<Plan> {
  const found = await readMount(vault, mount)
  if (found === undefined || found['type'] !== 'transit') return NOTHING
  const keys = await vault.list(`${mount}/keys`)
  if (keys.length > 0)
    return remark(
      'note',
      `the engine at ${mount}/ stays, with its keys: ${keys.slice(0, 5).join(', ')}`,
    )
  if (found['description'] !== MADE_BY)
    return remark('note', `the engine at ${mount}/ was not created by setup and stays`)
  return change({
    action: 'remove',
    what: `transit engine at ${mount}/, which has no keys`,
    path: `sys/mounts/${mount}`,
    needs: ['delete'],
  })
}
