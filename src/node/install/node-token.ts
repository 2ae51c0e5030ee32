import type { Clock } from '../../time/clock.ts'
import type { TokenFileLogin } from '../../config/config.ts'
import { checkServiceAccountToken, type TokenPlaces } from '../../identity/token-check.ts'
import { readServiceAccountToken } from '../../identity/token-file.ts'
import { putHostFile } from '../../files/atomic-file.ts'

const TOKEN_MODE = 0o600

const PLACES: TokenPlaces = {
  token: '--token',
  audience: 'vault.auth.audience',
  issuer: 'vault.auth.issuer',
  refresher: 'the kubelet',
}

export interface NodeTokenOptions {
  /** The projected token of the installer's pod. */
  readonly source: string
  /** The file on the host. */
  readonly target: string
  readonly auth: TokenFileLogin
  readonly clock: Clock
}

export interface NodeToken {
  readonly changed: boolean
  /** When the token that the host has now ends (ms since 1970). */
  readonly expiresAt: number
}

/**
 * Gives the host the token that the kubelet keeps fresh; gives when it ends and whether the host had another one. Throws
 * IDENTITY_* and leaves the host's alone when Vault would not take it.
 */
export async function putNodeToken(options: NodeTokenOptions): Promise<NodeToken> {
  const { source, target, auth, clock } = options
  const { token, claims } = await readServiceAccountToken(source, '--token')
  checkServiceAccountToken(claims, auth, clock.now(), PLACES)
  const content = `${token.reveal()}\n`
  const changed = await putHostFile({ path: target, mode: TOKEN_MODE, content })
  return { changed, expiresAt: claims.expiresAt }
}
