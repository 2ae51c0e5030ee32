import { change, NOTHING, remark, type Plan } from './plan.ts'
import { asSettings, type VaultSettings } from '../operator/vault-settings.ts'
import { UID_HEADER, type WantedPlugin } from './wanted.ts'

export const HEADERS_PATH = 'sys/config/auditing/request-headers'

/** Audit devices write the uid of the API server's call, so that their entries and our log can be joined. */
export async function planHeader(
  vault: VaultSettings,
  { inNamespace }: WantedPlugin,
): Promise<Plan> {
  const path = `${HEADERS_PATH}/${UID_HEADER}`
  if (inNamespace) {
    const text = `the audited header applies to the whole Vault: write ${path} hmac=false in the root namespace`
    return remark('note', text)
  }
  const headers = asSettings((await vault.read(HEADERS_PATH))?.['headers']) ?? {}
  const found = Object.entries(headers).find(
    ([name]) => name.toLowerCase() === UID_HEADER.toLowerCase(),
  )
  // With hmac, an audit entry has only a hash of the uid, and no log can be joined with it.
  if (found !== undefined && asSettings(found[1])?.['hmac'] === false) return NOTHING
  return change({
    action: found === undefined ? 'add' : 'change',
    what: `audited header ${UID_HEADER}`,
    details: ['hmac: false'],
    path,
    body: { hmac: false },
    needs: ['update', 'sudo'],
  })
}
