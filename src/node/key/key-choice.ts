import { BridgeError } from '../../errors.ts'
import { findCredentialKey, type CredentialKey } from '../../files/systemd-credential.ts'
import type { SealingKey, SystemdCreds } from '../../files/systemd-creds.ts'

/** What systemd-creds encrypts with by --with-key=host: systemd-creds(1). */
export const HOST_KEY_FILE = '/var/lib/systemd/credential.secret'

/** What systemd-creds encrypts a credential with. */
export interface KeyChoice {
  /** Undefined if it is not known. */
  readonly key: CredentialKey | undefined
  /** "encrypted with ..." */
  readonly words: string
  /** Why it will fail. */
  readonly warning?: string | undefined
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
  if (withKey !== 'auto') return explicitChoice(withKey, options.creds)
  const where = isElsewhere ? ' in the system that runs this command' : ''
  const { key, why } = hasHostKey ? await tryAuto(options) : await predictAuto(options)
  const words = describeAuto(key, `${where}${why === undefined ? '' : ` (${why})`}`)
  return {
    key,
    words: hasHostKey ? words : `${words}. systemd-creds first creates ${HOST_KEY_FILE}`,
  }
}

const ON_DISK = 'The host key is on the same disk, so anyone with the disk has the node key'

function describeAuto(key: CredentialKey | undefined, details: string): string {
  switch (key) {
    case 'tpm2':
      return `encrypted with the TPM 2, which systemd-creds has just used${details}`
    case 'host':
      return `encrypted with the host key: auto found no usable TPM 2${details}. ${ON_DISK}`
    case 'none':
    case undefined:
      return `encrypted with the host key or a TPM 2: what auto uses is unknown${details}`
  }
}

async function explicitChoice(
  withKey: Exclude<SealingKey, 'auto'>,
  creds: KeyChoiceOptions['creds'],
): Promise<KeyChoice> {
  if (withKey === 'host') return { key: 'host', words: `encrypted with the host key. ${ON_DISK}` }
  const words = `encrypted with the ${withKey === 'tpm2' ? 'TPM 2' : 'host key and the TPM 2'}`
  // With host+tpm2, systemd-creds would create a missing host key.
  const fault = await attempt(creds, 'tpm2')
  if (typeof fault !== 'string') return { key: 'tpm2', words }
  const missing = describeMissing(await creds.findMissingTpm2Parts())
  return {
    key: 'tpm2',
    words,
    warning: `systemd cannot use a TPM 2 here (${missing ?? fault}), so this will fail; pass --with-key host, or enable the TPM 2`,
  }
}

interface Reason {
  readonly key: CredentialKey | undefined
  readonly why?: string | undefined
}

/** systemd-creds itself shows what it chooses: it skips a TPM 2 that fails, and one in a container. */
async function tryAuto({ creds }: KeyChoiceOptions): Promise<Reason> {
  const made = await attempt(creds, 'auto')
  if (typeof made === 'string') return { key: undefined, why: made }
  const key = findCredentialKey(made)
  if (key === 'tpm2') return { key }
  if (key === 'host')
    return { key, why: await explainHost(creds, await creds.findMissingTpm2Parts()) }
  return { key, why: 'systemd-creds does not show it in the credential that it writes' }
}

/** Without an attempt with `auto`: systemd-creds would create a missing host key for it. */
async function predictAuto({ creds }: KeyChoiceOptions): Promise<Reason> {
  const missing = await creds.findMissingTpm2Parts()
  if (missing === undefined) return { key: undefined, why: NOT_REPORTED }
  if (missing.length === 0 && typeof (await attempt(creds, 'tpm2')) !== 'string')
    return { key: 'tpm2' }
  return { key: 'host', why: await explainHost(creds, missing) }
}

const NOT_REPORTED = 'this version of systemd does not report whether it can use a TPM 2'

async function explainHost(
  creds: KeyChoiceOptions['creds'],
  missing: readonly string[] | undefined,
): Promise<string> {
  if (missing === undefined) return NOT_REPORTED
  const made = missing.length > 0 ? undefined : await attempt(creds, 'tpm2')
  return describeMissing(missing) ?? (typeof made === 'string' ? made : 'it is not used here')
}

function describeMissing(missing: readonly string[] = []): string | undefined {
  return missing.length === 0 ? undefined : `missing: ${missing.join(', ')}`
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
