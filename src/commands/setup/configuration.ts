import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import type { Config, ProviderConfig, VaultConnection } from '../../config/config.ts'
import {
  loadConfig,
  loadProviderConfig,
  parseConfig,
  parseProviderConfig,
} from '../../config/load.ts'
import { isComplete } from '../../config/required-keys.ts'
import type { Environment } from '../../environment.ts'
import {
  readHelmManifest,
  type RenderedConfiguration,
  type RenderedIdentity,
} from '../../setup/helm-manifest.ts'
import { readInput } from '../csi/input.ts'
import { grouped, inputFile, text, usageError, type ValuesOf } from '../cli/option.ts'

/** Where the configuration comes from. */
export const configurationOptions = {
  config: text('FILE', "The plugin's configuration."),
  helmManifest: inputFile(
    'FILE',
    'Instead of --config: what "helm template" or "helm get manifest" prints for the chart.',
  ),
  ...grouped('With --helm-manifest: files on this computer, instead of those in the pods', {
    vaultCa: text('FILE', 'CA certificates of Vault. Default: the chart value vault.caBundle.'),
    vaultClientCert: text('FILE', 'Client certificate, if Vault requires one.'),
    vaultClientKey: text('FILE', 'Its private key.'),
  }),
}

export type ConfigurationValues = ValuesOf<typeof configurationOptions>

/** A configuration that this computer can use to reach Vault, and who logs in with it. */
export interface SetupConfiguration {
  readonly config: ProviderConfig
  /** Undefined without a KMS plugin. */
  readonly plugin: Config | undefined
  /** From the pods that helm rendered. */
  readonly identity: RenderedIdentity | undefined
  /** Removes the temporary files. */
  close(): Promise<void>
}

/** Reads the configuration of --config or of --helm-manifest. Throws USAGE_INVALID or a ConfigError. */
export async function openConfiguration(
  values: ConfigurationValues,
  environment: Environment,
): Promise<SetupConfiguration> {
  const { config: file, helmManifest } = values
  if (file !== undefined && helmManifest !== undefined)
    throw usageError('takes only one of --config and --helm-manifest')
  if (helmManifest !== undefined) return openManifest(helmManifest, values, environment)
  if (file === undefined)
    throw usageError('needs --config FILE, or with Helm --helm-manifest FILE; see setup --help')
  const local = [values.vaultCa, values.vaultClientCert, values.vaultClientKey]
  if (local.some((one) => one !== undefined))
    throw usageError('--vault-ca, --vault-client-cert and --vault-client-key need --helm-manifest')
  const { config, plugin } = await readFile(file, environment)
  return { config, plugin, identity: undefined, close: async () => undefined }
}

/** A file with `csi` and without `kms` is for the provider alone. */
async function readFile(file: string, environment: Environment) {
  const config = await loadProviderConfig(file, environment)
  if (config.kms === undefined && config.csi !== undefined) return { config, plugin: undefined }
  const plugin = await loadConfig(file, environment)
  return { config: plugin, plugin }
}

async function openManifest(
  file: string,
  values: ConfigurationValues,
  environment: Environment,
): Promise<SetupConfiguration> {
  const label = file === '-' ? 'standard input' : file
  const rendered = readHelmManifest(await readInput(file), label).map((part) => ({
    part,
    config: parseRendered(part, { ...environment, ...part.variables }),
  }))
  const kms = rendered.filter(({ config }) => config.kms !== undefined)
  const csi = rendered.filter(({ config }) => config.csi !== undefined)
  if (kms.length > 1 || csi.length > 1)
    throw usageError(`${label} contains several releases of the chart; pass one at a time`)
  const main = kms[0] ?? csi[0]
  if (main === undefined) throw usageError(`${label} contains no configuration of transit-bridge`)
  const files = await findFiles(main, values)
  const vault = { ...main.config.vault, ...files.connection }
  const config = { ...main.config, vault, csi: csi[0]?.config.csi }
  const plugin = kms.length > 0 && isComplete(config) ? config : undefined
  return { config, plugin, identity: main.part.identity, close: files.close }
}

function parseRendered({ place, text: content }: RenderedConfiguration, environment: Environment) {
  const read = parseProviderConfig(place, content, environment).config
  return read.kms === undefined ? read : parseConfig(place, content, environment).config
}

interface Files {
  readonly connection: Pick<VaultConnection, 'caFile' | 'clientCertificate'>
  readonly close: () => Promise<void>
}

/** The configuration names files in pods; here are others, with the same content. */
async function findFiles(
  { part, config }: { readonly part: RenderedConfiguration; readonly config: ProviderConfig },
  { vaultCa, vaultClientCert: certFile, vaultClientKey: keyFile }: ConfigurationValues,
): Promise<Files> {
  const { caFile, clientCertificate } = config.vault
  if ((certFile === undefined) !== (keyFile === undefined))
    throw usageError('--vault-client-cert and --vault-client-key need each other')
  if (clientCertificate?.section === 'vault' && certFile === undefined)
    throw usageError(
      'needs --vault-client-cert FILE and --vault-client-key FILE: Vault requires a client certificate, and that of the pods is not in the manifest',
    )
  if (caFile !== undefined && vaultCa === undefined && part.caBundle === undefined)
    throw usageError(
      `needs --vault-ca FILE: the CA certificate of Vault (in pods ${caFile}) is not in the manifest`,
    )
  const own =
    certFile === undefined || keyFile === undefined
      ? undefined
      : ({ certFile, keyFile, section: 'vault' } as const)
  const connection = { caFile: vaultCa, clientCertificate: own }
  if (vaultCa !== undefined || part.caBundle === undefined)
    return { connection, close: async () => undefined }
  const folder = await mkdtemp(join(tmpdir(), 'transit-bridge-setup-'))
  const written = join(folder, 'vault-ca.pem')
  await writeFile(written, part.caBundle)
  return {
    connection: { ...connection, caFile: written },
    close: () => rm(folder, { recursive: true, force: true }),
  }
}
