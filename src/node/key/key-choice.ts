import { BridgeError } from '../../errors.ts'
import { findCredentialKey, type CredentialKey } from '../../files/systemd-credential.ts'
import type { SealingKey, SystemdCreds } from '../../files/systemd-creds.ts'

/** What systemd-creds encrypts with by --with-key=host: systemd-creds(1). */
export const HOST_KEY_FILE = '/var/lib/systemd/credential.secret'

/** What systemd-creds encrypts a credential with. */
export interface KeyChoice {
  /** Undefined if it is not known. */
  readonly key: CredentialKey | undefined
  /** The end of "encrypted by systemd-creds with key ...". */
  readonly words: string
}

export interface KeyChoiceOptions {
  readonly creds: Pick<SystemdCreds, 'encrypt' | 'findMissingTpm2Parts'>
  readonly withKey: SealingKey
  /** Whether the host key exists. */
  readonly hasHostKey: boolean
  /** Whether the node is another system than the one that runs this command, such as the host of a container. */
  readonly isElsewhere: boolean
}

/** What systemd-creds will encrypt with, and the reason for `auto`. Changes nothing on the host. Throws HOST_FAILED. */
export async function findKeyChoice(options: KeyChoiceOptions): Promise<KeyChoice> {
  const { withKey, hasHostKey, isElsewhere } = options
  if (withKey !== 'auto') return explicitChoice(withKey)
  const { key, why } = hasHostKey ? await tryAuto(options) : await predictAuto(options)
  const what = key === undefined ? 'unknown' : CHOSEN[key]
  const where = isElsewhere ? 'in the system that runs this command' : 'on this host'
  return { key, words: `auto, which ${where} is ${what}: ${why}` }
}

const CHOSEN: Readonly<Record<CredentialKey, string>> = {
  host: 'host (the key is on the same disk)',
  tpm2: 'the TPM 2',
  none: 'none',
}

function explicitChoice(withKey: Exclude<SealingKey, 'auto'>): KeyChoice {
  return withKey === 'host'
    ? { key: 'host', words: 'host, which is on the same disk' }
    : { key: 'tpm2', words: withKey }
}

interface Reason {
  readonly key: CredentialKey | undefined
  readonly why: string
}

/** systemd-creds itself shows what it chooses: it skips a TPM 2 that fails, and one in a container. */
async function tryAuto({ creds }: KeyChoiceOptions): Promise<Reason> {
  const made = await attempt(creds, 'auto')
  if (typeof made === 'string') return { key: undefined, why: made }
  const key = findCredentialKey(made)
  if (key === 'tpm2') return { key, why: 'systemd-creds has just used it' }
  if (key === 'host')
    return { key, why: await explainHost(creds, await creds.findMissingTpm2Parts()) }
  return { key, why: 'systemd-creds does not show it in the credential that it writes' }
}

/** Without an attempt with `auto`: systemd-creds would create a missing host key for it. */
async function predictAuto({ creds }: KeyChoiceOptions): Promise<Reason> {
  const made = `systemd-creds first creates ${HOST_KEY_FILE}`
  const missing = await creds.findMissingTpm2Parts()
  if (missing === undefined) return { key: undefined, why: `${made}; ${NOT_REPORTED}` }
  if (missing.length === 0 && typeof (await attempt(creds, 'tpm2')) !== 'string')
    return { key: 'tpm2', why: `systemd-creds has just used it; ${made}` }
  return { key: 'host', why: `${await explainHost(creds, missing)}; ${made}` }
}

const NOT_REPORTED = 'this version of systemd does not report whether it can use a TPM 2'

async function explainHost(
  creds: KeyChoiceOptions['creds'],
  missing: readonly string[] | undefined,
): Promise<string> {
  if (missing === undefined) return NOT_REPORTED
  if (missing.length > 0)
    return `systemd cannot use a TPM 2 here; systemd-creds has-tpm2 reports as missing: ${missing.join(', ')}`
  const made = await attempt(creds, 'tpm2')
  return `the TPM 2 does not work${typeof made === 'string' ? ` (${made})` : ''}`
}

/** Encrypts something without a secret; returns why that failed. */
async function attempt(
  creds: KeyChoiceOptions['creds'],
  withKey: SealingKey,
): Promise<Buffer | string> {
  try {
    return await creds.encrypt(Buffer.alloc(1), withKey)
  } catch (thrown) {
    if (thrown instanceof BridgeError) return thrown.message
    throw thrown
  }
}
