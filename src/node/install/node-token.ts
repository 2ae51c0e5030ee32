import type { TokenFileLogin } from '../../config/config.ts'
import { BridgeError } from '../../errors.ts'
import { findMismatch, type TokenSettingNames } from '../../identity/token-check.ts'
import { readServiceAccountToken } from '../../identity/token-file.ts'
import { putHostFile } from '../../files/atomic-file.ts'

const TOKEN_MODE = 0o600

const SETTINGS: TokenSettingNames = {
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
}

export interface NodeToken {
  readonly changed: boolean
  /** When the host's token expires, in milliseconds since 1970; undefined if it never does. */
  readonly expiresAt: number | undefined
}

/**
 * Copies the token that the kubelet keeps fresh to the host; returns when it expires, and whether the host had a
 * different one. Throws IDENTITY_*, and keeps the host's token, if the new one contradicts the configuration.
 */
export async function putNodeToken(options: NodeTokenOptions): Promise<NodeToken> {
  const { source, target, auth } = options
  const { token, claims } = await readServiceAccountToken(source, '--token')
  const mismatch = findMismatch(claims, auth, SETTINGS)
  if (mismatch !== undefined) throw new BridgeError('IDENTITY_INVALID', mismatch)
  const content = `${token.reveal()}\n`
  const changed = await putHostFile({ path: target, mode: TOKEN_MODE, content })
  return { changed, expiresAt: claims.expiresAt }
}
