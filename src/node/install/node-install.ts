import { readFile, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

import type { Clock } from '../../time/clock.ts'
import type { Config, KmsConfig } from '../../config/config.ts'
import { parseConfig } from '../../config/load.ts'
import { requireSection } from '../../config/section.ts'
import { BridgeError } from '../../errors.ts'
import { nodeFilesFor } from '../files/node-files.ts'
import { readWithinTime } from '../../files/bounded-read.ts'
import { codeOfFileError, explainFileError } from '../../files/system-error.ts'
import { putHostFile, removeHostFile, type HostFile } from '../../files/atomic-file.ts'
import { resolveInRoot } from '../../files/rooted-path.ts'
import { parsePodPatch } from './pod-patch.ts'
import { putNodeToken, type NodeToken } from './node-token.ts'
import { MANIFEST_NAME, renderManifest } from './static-pod-manifest.ts'

/** What is installed, and where. Sources are paths of this process; the other paths are paths on the host. */
export interface NodeInstallOptions {
  /** The plugin's configuration, which is copied to the host unchanged. */
  readonly configSource: string
  readonly tokenSource?: string | undefined
  readonly caSource?: string | undefined
  /** A file with additions to the static pod. */
  readonly patchSource?: string | undefined
  /** Where the host's root folder is mounted. */
  readonly root: string
  readonly hostConfig: string
  readonly manifestFolder: string
  readonly image: string
  /** Of the static pod. Default: that of the container runtime. */
  readonly selinuxType?: string | undefined
  readonly clock: Clock
}

export interface NodeInstallOutcome {
  /** The paths on the host that were changed. */
  readonly changed: readonly string[]
  /** When the host's token expires, in milliseconds since 1970; undefined if the login uses none. */
  readonly tokenExpiresAt?: number | undefined
  /** The plugin's socket, as a path on the host. */
  readonly socket: string
}

const CONFIG_MODE = 0o600
const CA_MODE = 0o644
/** The first line of a CA file that was written here. Readers of PEM skip text before a certificate (RFC 7468, section 2). */
const CA_MARK = '# written by transit-bridge install-node\n'
const MANIFEST_MODE = 0o600

/**
 * Writes the host's files, the manifest last, so that the plugin finds everything when the kubelet starts it. An invalid
 * configuration or token changes nothing. Throws ConfigError, CONFIG_INVALID, IDENTITY_*, HOST_UNAVAILABLE or HOST_FAILED.
 */
export async function installOnNode(options: NodeInstallOptions): Promise<NodeInstallOutcome> {
  const { text, config, kms } = await readSource(options)
  const manifestText = await manifest(text, config, options)
  const token = await putToken(config, options)
  const wanted: readonly HostFile[] = [
    ...(await missingCa(config, options)),
    { path: options.hostConfig, mode: CONFIG_MODE, content: text },
    { path: manifestOf(options), mode: MANIFEST_MODE, content: manifestText },
  ]
  const changed = token?.changed === true ? [tokenTarget(config)] : []
  for (const file of wanted) {
    if (await putHostFile({ ...file, path: await hostPath(options, file.path) }))
      changed.push(file.path)
  }
  return {
    changed: changed.filter((path) => path !== undefined),
    socket: kms.socket,
    tokenExpiresAt: token?.expiresAt,
  }
}

/**
 * Removes from the host what installOnNode wrote, the manifest first; returns what existed. Throws HOST_FAILED and removes nothing
 * if the kubelet's folder is not there: the plugin may then run from a manifest in another one.
 */
export async function removeFromNode(options: NodeInstallOptions): Promise<NodeInstallOutcome> {
  const { config, kms } = await readSource(options)
  await requireManifestFolder(options)
  const paths = [
    manifestOf(options),
    options.hostConfig,
    ...(options.tokenSource === undefined ? [] : [tokenTarget(config)]),
    ...(await removableCa(config, options)),
  ].filter((path) => path !== undefined)
  const changed: string[] = []
  for (const path of paths) {
    if (await removeHostFile(await hostPath(options, path))) changed.push(path)
  }
  return { changed, socket: kms.socket }
}

/**
 * The CA file, if it is beside the configuration and was written here: anything else may be a file of the host that others use,
 * such as the authorities of the cluster.
 */
async function removableCa({ vault }: Config, options: NodeInstallOptions): Promise<string[]> {
  const path = vault.caFile
  if (path === undefined || dirname(path) !== dirname(options.hostConfig)) return []
  const held = await readHostText(path, options)
  return held?.startsWith(CA_MARK) === true ? [path] : []
}

/** The path at which this process finds a path of the host. Throws HOST_FAILED. */
export function hostPath(
  { root }: Pick<NodeInstallOptions, 'root'>,
  path: string,
): Promise<string> {
  return resolveInRoot(root, path)
}

interface Source {
  readonly text: string
  readonly config: Config
  readonly kms: KmsConfig
}

/** The static pod has no environment variables, so a configuration that refers to one is an error. */
async function readSource({ configSource }: NodeInstallOptions): Promise<Source> {
  const text = await readText(configSource, '--config')
  const { config } = parseConfig(configSource, text, {})
  return { text, config, kms: requireSection(config, 'kms') }
}

async function readText(file: string, option: string): Promise<string> {
  try {
    return await readWithinTime(file, () => readFile(file, 'utf8'))
  } catch (cause) {
    const where = `${option}: ${file}`
    if (cause instanceof BridgeError)
      throw new BridgeError(cause.code, `${where} ${cause.message}`, { cause })
    const code = codeOfFileError(cause, 'CONFIG_INVALID')
    throw new BridgeError(code, `${where} cannot be read: ${explainFileError(cause)}`, { cause })
  }
}

async function putToken(
  { vault: { auth } }: Config,
  options: NodeInstallOptions,
): Promise<NodeToken | undefined> {
  const { tokenSource: source } = options
  const takesToken = auth.method === 'jwt' || auth.method === 'kubernetes'
  if (!takesToken) {
    if (source === undefined) return undefined
    throw mismatch(
      `--token is set, but vault.auth.method ${auth.method} does not use it; remove one of them`,
    )
  }
  if (source === undefined)
    throw mismatch(
      `vault.auth.method ${auth.method} requires a service-account token; pass --token`,
    )
  return putNodeToken({ source, target: await hostPath(options, auth.tokenFile), auth })
}

/** The CA file to write; none if the host has a file with the content of the source, which then belongs to others. */
async function missingCa({ vault }: Config, options: NodeInstallOptions): Promise<HostFile[]> {
  const { caSource } = options
  if (caSource === undefined) return []
  if (vault.caFile === undefined)
    throw mismatch('--ca is set, but vault.caFile is not; set both or neither')
  const text = await readText(caSource, '--ca')
  if ((await readHostText(vault.caFile, options)) === text) return []
  return [{ path: vault.caFile, mode: CA_MODE, content: `${CA_MARK}${text}` }]
}

/** The text of a file of the host; undefined if it cannot be read. */
async function readHostText(
  path: string,
  options: NodeInstallOptions,
): Promise<string | undefined> {
  const file = await hostPath(options, path)
  return readWithinTime(file, () => readFile(file, 'utf8')).catch(() => undefined)
}

async function manifest(
  text: string,
  config: Config,
  options: NodeInstallOptions,
): Promise<string> {
  // A static pod runs the program of its image.
  const { hostConfig: configFile, image, selinuxType, patchSource } = options
  const host = { configFile, image, selinuxType, program: '' }
  const patch =
    patchSource === undefined
      ? undefined
      : parsePodPatch(await readText(patchSource, '--pod-patch'))
  return renderManifest(nodeFilesFor(config, host), text, patch)
}

function manifestOf({ manifestFolder }: NodeInstallOptions): string {
  return join(manifestFolder, basename(MANIFEST_NAME))
}

async function requireManifestFolder(options: NodeInstallOptions): Promise<void> {
  const folder = dirname(await hostPath(options, manifestOf(options)))
  try {
    if ((await stat(folder)).isDirectory()) return
  } catch (cause) {
    const message = `--manifests: ${folder} cannot be read: ${explainFileError(cause)}; nothing was removed; check --root, and that the host folder is mounted`
    throw new BridgeError('HOST_FAILED', message, { cause })
  }
  throw new BridgeError('HOST_FAILED', `--manifests: ${folder} is not a folder`)
}

function tokenTarget({ vault: { auth } }: Config): string | undefined {
  return auth.method === 'jwt' || auth.method === 'kubernetes' ? auth.tokenFile : undefined
}

function mismatch(message: string): BridgeError {
  return new BridgeError('CONFIG_INVALID', message)
}
