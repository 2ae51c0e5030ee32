import type { CallContext } from '../../call-context.ts'
import type { Secret } from '../../secret.ts'

/** What Vault grants to whoever logged in. */
export interface Grant {
  readonly token: Secret<string>
  /** How long the token lives from now; 0 when it never ends. */
  readonly leaseSeconds: number
  readonly renewable: boolean
  /** Whether the token is ours to revoke: not a batch token, and not one that somebody gave us. */
  readonly revocable: boolean
  readonly accessor?: string
  /** Vault's name for who logged in; with the policies it decides what the token may do. */
  readonly entityId?: string
  /** All policies of the token, those of its entity included. */
  readonly policies?: readonly string[]
}

/** One way to get a token from Vault. It reads what it proves itself with anew on every call. */
export interface Login {
  /** The name of the method: a label of metrics and log lines. */
  readonly method: string
  /** Throws LOGIN_REFUSED when Vault says no, IDENTITY_* when there is nothing to log in with. */
  login(context: CallContext): Promise<Grant>
}

/** What the settings of a login are called where the reader of a message can change them. */
export interface LoginSettingNames {
  readonly mount: string
  readonly role: string
  readonly audience: string
}

/** The names in the KMS plugin's configuration (design §6). */
export const VAULT_AUTH_SETTINGS: LoginSettingNames = {
  mount: 'vault.auth.mount',
  role: 'vault.auth.role',
  audience: 'vault.auth.audience',
}
