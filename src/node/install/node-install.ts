import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'

import type { Clock } from '../../time/clock.ts'
import type { Config, KmsConfig } from '../../config/config.ts'
import { parseConfig } from '../../config/load.ts'
import { requireSection } from '../../config/section.ts'
import { BridgeError } from '../../errors.ts'
import { nodeFilesFor } from '../files/node-files.ts'
import { putHostFile, removeHostFile, type HostFile } from '../../files/atomic-file.ts'
import { putNodeToken, type NodeToken } from './node-token.ts'
import { MANIFEST_NAME, renderManifest } from './static-pod-manifest.ts'

/** What is installed from where to where. Sources are paths here, the others are paths of the host. */
export interface NodeInstallOptions {
  /** The plugin's configuration, which becomes the host's as it is. */
  readonly configSource: string
  readonly tokenSource?: string
  readonly caSource?: string
  /** Where the host's folders are mounted: a path of the host is below it. */
  readonly root: string
  readonly hostConfig: string
  readonly manifestFolder: string
  readonly image: string
  readonly clock: Clock
}

export interface NodeInstallOutcome {
  /** What was not as it had to be, as paths of the host. */
  readonly changed: readonly string[]
  /** When the host's token ends (ms since 1970); undefined where another kind of login is used. */
  readonly tokenExpiresAt?: number | undefined
  /** The plugin's socket, as a path of the host. */
  readonly socket: string
}

const CONFIG_MODE = 0o600
const CA_MODE = 0o644
const MANIFEST_MODE = 0o600

/**
 * Makes the host's files be as they shall be, the manifest last: whatever starts the plugin finds all that it needs. A
 * configuration or a token that is of no use changes nothing. Throws ConfigError, CONFIG_INVALID, IDENTITY_* or HOST_FAILED.
 */
export async function installOnNode(options: NodeInstallOptions): Promise<NodeInstallOutcome> {
  const { text, config, kms } = await readSource(options)
  const token = await putToken(config, options)
  const wanted: readonly HostFile[] = [
    ...(await caFile(config, options)),
    { path: options.hostConfig, mode: CONFIG_MODE, content: text },
    { path: manifestOf(options), mode: MANIFEST_MODE, content: manifest(text, config, options) },
  ]
  const changed = token?.changed === true ? [tokenTarget(config)] : []
  for (const file of wanted) {
    if (await putHostFile({ ...file, path: below(options, file.path) })) changed.push(file.path)
  }
  return {
    changed: changed.filter((path) => path !== undefined),
    socket: kms.socket,
    tokenExpiresAt: token?.expiresAt,
  }
}

/** Takes off the host what installOnNode put there, the manifest first; gives what was there. */
export async function removeFromNode(options: NodeInstallOptions): Promise<NodeInstallOutcome> {
  const { config, kms } = await readSource(options)
  const paths = [
    manifestOf(options),
    options.hostConfig,
    ...(options.tokenSource === undefined ? [] : [tokenTarget(config)]),
    ...(options.caSource === undefined ? [] : [config.vault.caFile]),
  ].filter((path) => path !== undefined)
  const changed: string[] = []
  for (const path of paths) {
    if (await removeHostFile(below(options, path))) changed.push(path)
  }
  return { changed, socket: kms.socket }
}

/** Where something of the host is for this process. */
export function below({ root }: Pick<NodeInstallOptions, 'root'>, path: string): string {
  return join(root, path)
}

interface Source {
  readonly text: string
  readonly config: Config
  readonly kms: KmsConfig
}

/** A static pod has no environment of ours, so a configuration with variables in it is a wrong one. */
async function readSource({ configSource }: NodeInstallOptions): Promise<Source> {
  const text = await readText(configSource, '--config')
  const { config } = parseConfig(configSource, text, {})
  return { text, config, kms: requireSection(config, 'kms') }
}

async function readText(file: string, option: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new BridgeError('CONFIG_INVALID', `${option}: ${file} cannot be read`, { cause })
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
    throw mismatch(`--token is given, but vault.auth.method ${auth.method} takes no token`)
  }
  if (source === undefined)
    throw mismatch(`vault.auth.method ${auth.method} needs a service-account token; give --token`)
  return putNodeToken({ source, target: below(options, auth.tokenFile), auth })
}

async function caFile({ vault }: Config, options: NodeInstallOptions): Promise<HostFile[]> {
  const { caSource } = options
  if (caSource === undefined) return []
  if (vault.caFile === undefined)
    throw mismatch('--ca is given, but the configuration names no vault.caFile')
  return [{ path: vault.caFile, mode: CA_MODE, content: await readText(caSource, '--ca') }]
}

function manifest(text: string, config: Config, options: NodeInstallOptions): string {
  // A static pod runs the program of its image.
  const place = { configFile: options.hostConfig, image: options.image, program: '' }
  return renderManifest(nodeFilesFor(config, place), text)
}

function manifestOf({ manifestFolder }: NodeInstallOptions): string {
  return join(manifestFolder, basename(MANIFEST_NAME))
}

function tokenTarget({ vault: { auth } }: Config): string | undefined {
  return auth.method === 'jwt' || auth.method === 'kubernetes' ? auth.tokenFile : undefined
}

function mismatch(message: string): BridgeError {
  return new BridgeError('CONFIG_INVALID', message)
}
