import { change, NOTHING, remark, type Plan } from './plan.ts'
import { asSettings, type VaultSettings } from '../operator/vault-settings.ts'
import { UID_HEADER, type Wanted } from './wanted.ts'

export const HEADERS_PATH = 'sys/config/auditing/request-headers'

/** That audit devices write the uid of the API server's call, so that their lines and ours can be joined. */
export async function planHeader(vault: VaultSettings, { inNamespace }: Wanted): Promise<Plan> {
  const path = `${HEADERS_PATH}/${UID_HEADER}`
  if (inNamespace) {
    const text = `the audited header is set for the whole of vault: in the root namespace somebody may write ${path} hmac=false`
    return remark('note', text)
  }
  const headers = asSettings((await vault.read(HEADERS_PATH))?.['headers']) ?? {}
  const known = Object.keys(headers).some((name) => name.toLowerCase() === UID_HEADER.toLowerCase())
  if (known) return NOTHING
  return change({
    action: 'add',
    what: `audited header ${UID_HEADER}`,
    details: ['hmac: false'],
    path,
    body: { hmac: false },
    needs: ['update', 'sudo'],
  })
}
