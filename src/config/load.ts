import { readFile } from 'node:fs/promises'
import * as v from 'valibot'

import type { Config, ProviderConfig } from './config.ts'
import { substituteEnvironment } from './environment.ts'
import type { Environment } from '../environment.ts'
import { BridgeError } from '../errors.ts'
import { explainFileError, explainShortage } from '../files/system-error.ts'
import { ConfigError, type Fault } from '../yaml/fault.ts'
import { describeIssues, type LocatedFault } from './issues.ts'
import { findOverwritten } from './overwritten-file.ts'
import { findMissing, hasKms, isComplete, isProviderAlone } from './required-keys.ts'
import { configSchema } from './schema/config-schema.ts'
import { explainType } from '../yaml/type-words.ts'
import { readYaml, type Source } from '../yaml/source.ts'

/** A configuration, and how values with variables were written. */
export interface LoadedConfig<Kind extends ProviderConfig = Config> {
  readonly config: Kind
  /** By path, the text of values that contain variables: show this, never what the environment contains. */
  readonly written: ReadonlyMap<string, string>
}

/** Reads the configuration in a file. Throws a ConfigError with all faults, or HOST_UNAVAILABLE if the host cannot read it now. */
export async function loadConfig(file: string, environment: Environment): Promise<Config> {
  return parseConfig(file, await readText(file), environment).config
}

/** Like loadConfig, for `transit-bridge csi`: a file without a `kms` section needs fewer keys. */
export async function loadProviderConfig(
  file: string,
  environment: Environment,
): Promise<ProviderConfig> {
  return parseProviderConfig(file, await readText(file), environment).config
}

/**
 * For a caller that shows values, and does not know which program the file is for. Without a section `csi`, it must be complete:
 * every program but the provider requires that.
 */
export async function readAnyConfig(
  file: string,
  environment: Environment,
): Promise<LoadedConfig<ProviderConfig>> {
  const input = { file, text: await readText(file), environment }
  return parse(input, (value) => !isProviderAlone(value), isAny)
}

/** Parses the configuration in a text; messages call it `file`. */
export function parseConfig(file: string, text: string, environment: Environment): LoadedConfig {
  return parse({ file, text, environment }, () => true, isComplete)
}

/** Like parseConfig; a text without a `kms` section needs fewer keys. */
export function parseProviderConfig(
  file: string,
  text: string,
  environment: Environment,
): LoadedConfig<ProviderConfig> {
  return parse({ file, text, environment }, hasKms, isAny)
}

function isAny(_config: ProviderConfig): _config is ProviderConfig {
  return true
}

interface Input {
  readonly file: string
  readonly text: string
  readonly environment: Environment
}

/** @param mustBeComplete whether the keys of required-keys.ts are required of this value */
function parse<Kind extends ProviderConfig>(
  { file, text, environment }: Input,
  mustBeComplete: (value: unknown) => boolean,
  isEnough: (config: ProviderConfig) => config is Kind,
): LoadedConfig<Kind> {
  const source = readYaml(text)
  if (!('value' in source)) throw new ConfigError(file, source)
  // An empty file counts as a mapping without keys, so that the message names the missing sections.
  const { value, written, faults } = substituteEnvironment(source.value ?? {}, environment)
  const result = v.safeParse(configSchema, value, { message: explainType })
  const missing = mustBeComplete(value) ? findMissing(value) : []
  const issues = describeIssues(result.issues ?? [], { value, written })
  const found = [...faults, ...issues, ...missing, ...findOverwritten(value, file)]
  if (result.success && found.length === 0 && isEnough(result.output))
    return { config: freeze(result.output), written }
  throw new ConfigError(file, arrange(found, source))
}

/** Sorted by line. Of several faults of one value only the first, so that an unset variable is reported once. */
function arrange(faults: readonly LocatedFault[], source: Source): readonly Fault[] {
  const byPath = new Map(faults.toReversed().map((fault) => [fault.path, fault]))
  return faults
    .filter((fault) => byPath.get(fault.path) === fault)
    .map(({ at, ...fault }) => ({ ...fault, line: source.lineOf(at) }))
    .toSorted((one, other) => one.line - other.line)
}

async function readText(file: string): Promise<string> {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file))
  } catch (cause) {
    const message = `cannot be read: ${explainFileError(cause)}`
    if (explainShortage(cause) !== undefined)
      throw new BridgeError('HOST_UNAVAILABLE', `${file}: ${message}`, { cause })
    throw new ConfigError(file, [{ path: '', message }], { cause })
  }
}

function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const part of Object.values(value)) freeze(part)
  return Object.freeze(value)
}
