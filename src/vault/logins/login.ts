import type { CallContext } from '../../call-context.ts'
import type { Secret } from '../../secret.ts'

/** What a login to Vault returns. */
export interface Grant {
  readonly token: Secret<string>
  /** Time until the token expires; Infinity if it never does. */
  readonly leaseSeconds: number
  /** How many requests Vault accepts with this token (token_num_uses); absent without a limit. */
  readonly maxUses?: number | undefined
  readonly renewable: boolean
  /** Whether we may revoke the token: not a batch token, and not one that another program manages. */
  readonly revocable: boolean
  readonly accessor?: string | undefined
  /** Vault's identity entity; together with the policies it decides what the token may do. */
  readonly entityId?: string | undefined
  /** All policies of the token, including those of its entity. */
  readonly policies?: readonly string[] | undefined
}

/** A way to get a token from Vault. It reads its credential again on every call. */
export interface Login {
  /** The name of the method: a label of metrics and log lines. */
  readonly method: string
  /**
   * Throws LOGIN_REFUSED when Vault refuses the credential, and IDENTITY_* when there is no credential. Throws the
   * same LOGIN_REFUSED object again, without a request to Vault, while a refused credential is held back.
   */
  login(context: CallContext): Promise<Grant>
}

/** The names of a login's settings as the reader of a message knows them. */
export interface LoginSettingNames {
  readonly mount: string
  readonly role: string
  readonly audience: string
  /** Why a token can have expired. */
  readonly expiryAdvice: string
  /** Advice about the namespace, which follows the name of the mount. */
  readonly namespaceAdvice: string
}

/** The names in the KMS plugin's configuration. */
export const VAULT_AUTH_SETTINGS: LoginSettingNames = {
  mount: 'vault.auth.mount',
  role: 'vault.auth.role',
  audience: 'vault.auth.audience',
  expiryAdvice: "the program that refreshes the token's file has stopped, or a clock is wrong",
  namespaceAdvice: 'and that vault.namespace is right',
}
