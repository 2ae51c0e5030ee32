import type { OpenBao } from './openbao.ts'

/** Revokes the Vault tokens of all logins with a service-account token. */
export async function revokeTokens(bao: OpenBao): Promise<void> {
  const { data } = await bao.api('LIST', 'auth/token/accessors')
  for (const accessor of data.keys as string[]) {
    const found = await bao.request('POST', 'auth/token/lookup-accessor', { accessor })
    if (!String(found.body?.data?.display_name).startsWith('jwt-')) continue
    await bao.api('POST', 'auth/token/revoke-accessor', { accessor })
  }
}
