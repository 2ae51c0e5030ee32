import { randomBytes, timingSafeEqual } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, readFile, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'

import { BridgeError } from '../../errors.ts'
import { putHostFile, replaceFile } from '../../files/atomic-file.ts'
import { explainFileError, systemCodeOf } from '../../files/system-error.ts'
import {
  findCredentialKey,
  NODE_KEY_CREDENTIAL,
  type CredentialKey,
} from '../../files/systemd-credential.ts'
import { findKeyChoice, HOST_KEY_FILE } from './key-choice.ts'
import { KEY_UNIT } from './key-unit.ts'
import type { SealingKey, SystemdCreds } from '../../files/systemd-creds.ts'

/** As kms/local/sealed-format.ts requires. */
const NODE_KEY_BYTES = 32

export interface NodeKeyOptions {
  readonly creds: Pick<SystemdCreds, 'encrypt' | 'decrypt' | 'findMissingTpm2Parts'>
  readonly withKey: SealingKey
  /** Whether a node key that exists is replaced. */
  readonly replace: boolean
  /** The folder under which the files are written. Default: "/". */
  readonly root?: string | undefined
}

/** One change of `setup node-key`, or one thing that is already right. */
export interface NodeKeyStep {
  readonly path: string
  readonly change: 'create' | 'replace' | 'none'
  readonly what: string
  /** What the credential will be encrypted with. */
  readonly key?: CredentialKey | undefined
  /** Why it will fail. */
  readonly warning?: string | undefined
}

/**
 * What must be done so that the plugin of this node has a node key. Throws HOST_FAILED if there is one that this machine
 * cannot decrypt, unless it is to be replaced, and if the node under the root has another host key.
 */
export async function planNodeKey(options: NodeKeyOptions): Promise<readonly NodeKeyStep[]> {
  await requireRoot(options)
  if (options.withKey !== 'tpm2') await requireSameHostKey(options)
  const credential = await planCredential(options)
  const { path, content } = KEY_UNIT
  const found = await readIfAny(under(options, path))
  const isRight = found?.toString('utf8') === content
  const unit: NodeKeyStep = {
    path,
    change: isRight ? 'none' : found === undefined ? 'create' : 'replace',
    what: 'the unit that provides it to the plugin',
  }
  return [credential, unit]
}

async function planCredential(options: NodeKeyOptions): Promise<NodeKeyStep> {
  const { creds, withKey, replace, root = '/' } = options
  const path = NODE_KEY_CREDENTIAL
  const known = await readKnown(options)
  if (known !== undefined && !replace) {
    requireProtection(path, findCredentialKey(known), withKey)
    return { path, change: 'none', what: describeKnown(known) }
  }
  const hasHostKey = existsSync(HOST_KEY_FILE)
  const isElsewhere = resolve(root) !== '/'
  const { key, words, warning } = await findKeyChoice({ creds, withKey, hasHostKey, isElsewhere })
  return {
    path,
    change: known === undefined ? 'create' : 'replace',
    what: `a node key of ${String(NODE_KEY_BYTES)} random bytes, ${words}`,
    key,
    warning,
  }
}

/** A node key that exists is kept only if it is encrypted as asked. */
function requireProtection(
  path: string,
  found: CredentialKey | undefined,
  withKey: SealingKey,
): void {
  const asked = withKey === 'host' ? 'host' : 'tpm2'
  const isRight = withKey === 'auto' ? found !== 'none' : found === asked
  if (isRight) return
  const how = found === 'none' ? 'is not encrypted' : `is not encrypted with ${withKey}`
  throw new BridgeError('HOST_FAILED', `${path} ${how}; pass --replace to create a new node key`)
}

function describeKnown(credential: Buffer): string {
  const what = 'a node key that this machine decrypts'
  return findCredentialKey(credential) === 'host'
    ? `${what}, with a key that is on the same disk`
    : what
}

/** Does what is planned. Throws HOST_FAILED; what was written before stays, and the command can be run again. */
export async function applyNodeKey(
  options: NodeKeyOptions,
  [credential, unit]: readonly NodeKeyStep[],
): Promise<void> {
  if (credential !== undefined && credential.change !== 'none')
    await writeCredential(options, credential.key)
  if (unit === undefined || unit.change === 'none') return
  const path = under(options, unit.path)
  await makeFolder(path, 0o755)
  await putHostFile({ path, mode: 0o644, content: KEY_UNIT.content })
}

/** Writes a new node key only after systemd-creds encrypted it as planned, and decrypted it again. */
async function writeCredential(
  options: NodeKeyOptions,
  planned: CredentialKey | undefined,
): Promise<void> {
  const { creds, withKey } = options
  const nodeKey = randomBytes(NODE_KEY_BYTES)
  try {
    const content = await creds.encrypt(nodeKey, withKey)
    requirePlanned(planned, findCredentialKey(content))
    const again = await creds.decrypt(content)
    const isSame = again.length === nodeKey.length && timingSafeEqual(again, nodeKey)
    again.fill(0)
    if (!isSame)
      throw new BridgeError('HOST_FAILED', 'systemd-creds decrypted the node key to something else')
    const path = under(options, NODE_KEY_CREDENTIAL)
    await makeFolder(path, 0o700)
    await replaceFile({ path, mode: 0o600, content }).catch((cause: unknown) => {
      const message = `${path} cannot be written: ${explainFileError(cause)}`
      throw new BridgeError('HOST_FAILED', message, { cause })
    })
  } finally {
    nodeKey.fill(0)
  }
}

/** With `auto`, systemd-creds decides again for each credential: the TPM 2 may fail now. */
function requirePlanned(
  planned: CredentialKey | undefined,
  found: CredentialKey | undefined,
): void {
  if (planned === undefined || found === undefined || planned === found) return
  throw new BridgeError(
    'HOST_FAILED',
    `systemd-creds encrypted the node key with ${found} instead of ${planned} as planned; it was not written; run this command again, or pass --with-key`,
  )
}

async function readKnown(options: NodeKeyOptions): Promise<Buffer | undefined> {
  const path = under(options, NODE_KEY_CREDENTIAL)
  const credential = await readIfAny(path)
  if (credential === undefined || options.replace) return credential
  let length: number
  try {
    const nodeKey = await options.creds.decrypt(credential)
    length = nodeKey.length
    nodeKey.fill(0)
  } catch (cause) {
    const why = cause instanceof BridgeError ? cause.message : 'unknown error'
    throw new BridgeError(
      'HOST_FAILED',
      `${path} exists, but this machine cannot decrypt it (${why}); pass --replace to create a new node key: a sealed file of the old one is then ignored until Vault answers`,
      { cause },
    )
  }
  if (length === NODE_KEY_BYTES) return credential
  throw new BridgeError(
    'HOST_FAILED',
    `${path} contains ${String(length)} bytes instead of ${String(NODE_KEY_BYTES)}; pass --replace to create a new node key`,
  )
}

async function requireRoot({ root = '/' }: NodeKeyOptions): Promise<void> {
  const found = await stat(root).catch(() => undefined)
  if (found?.isDirectory() === true) return
  const why = found === undefined ? 'does not exist, or cannot be read' : 'is not a folder'
  throw new BridgeError(
    'USAGE_INVALID',
    `--root ${root} ${why}; pass the folder where the file system of the node is mounted`,
  )
}

/**
 * With another root, as in a container or a rescue system, systemd-creds would encrypt the node key with the key of this system,
 * and systemd of the root could never decrypt it.
 */
async function requireSameHostKey({ root = '/' }: NodeKeyOptions): Promise<void> {
  if (resolve(root) === '/') return
  const keys = await Promise.all([HOST_KEY_FILE, join(root, HOST_KEY_FILE)].map(readIfAny))
  const [own, other] = keys
  const isSame = own !== undefined && other?.equals(own) === true
  for (const key of keys) key?.fill(0)
  if (isSame) return
  throw new BridgeError(
    'HOST_FAILED',
    `${join(root, HOST_KEY_FILE)} is not the host key of this system, so the node under --root could not decrypt the node key; run this command on the node, or with chroot ${root}`,
  )
}

async function readIfAny(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (cause) {
    if (systemCodeOf(cause) === 'ENOENT') return undefined
    const message = `${path} cannot be read: ${explainFileError(cause)}`
    throw new BridgeError('HOST_FAILED', message, { cause })
  }
}

async function makeFolder(file: string, mode: number): Promise<void> {
  const folder = dirname(file)
  await mkdir(folder, { recursive: true, mode }).catch((cause: unknown) => {
    const message = `${folder} cannot be created: ${explainFileError(cause)}`
    throw new BridgeError('HOST_FAILED', message, { cause })
  })
}

function under({ root = '/' }: NodeKeyOptions, path: string): string {
  return join(root, path)
}
