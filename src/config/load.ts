import { readFile } from 'node:fs/promises'
import * as v from 'valibot'

import type { Config, ProviderConfig } from './config.ts'
import { substituteEnvironment } from './environment.ts'
import type { Environment } from '../environment.ts'
import { ConfigError, type Fault } from '../yaml/fault.ts'
import { describeIssues, type LocatedFault } from './issues.ts'
import { findMissing, hasKms, isComplete } from './needed.ts'
import { configSchema } from './schema/config-schema.ts'
import { explainType } from '../yaml/type-words.ts'
import { readYaml, type Source } from '../yaml/source.ts'

/** A configuration together with how it was written. */
export interface LoadedConfig<Kind extends ProviderConfig = Config> {
  readonly config: Kind
  /** By path, the text of values that hold variables: show this, never what the environment gave. */
  readonly written: ReadonlyMap<string, string>
}

/** The configuration in a file. Throws a ConfigError with everything that is wrong with it. */
export async function loadConfig(file: string, environment: Environment): Promise<Config> {
  return parseConfig(file, await readText(file), environment).config
}

/** Like loadConfig, for `transit-bridge csi`: of a file without a `kms` section less is asked. */
export async function loadProviderConfig(
  file: string,
  environment: Environment,
): Promise<ProviderConfig> {
  return (await readProviderConfig(file, environment)).config
}

/** Like loadProviderConfig, for a caller that shows values and so must know which came from the environment. */
export async function readProviderConfig(
  file: string,
  environment: Environment,
): Promise<LoadedConfig<ProviderConfig>> {
  return parseProviderConfig(file, await readText(file), environment)
}

/** The configuration in a text; `file` is what messages call it. */
export function parseConfig(file: string, text: string, environment: Environment): LoadedConfig {
  return parse({ file, text, environment }, () => true, isComplete)
}

/** Like parseConfig, of which less is asked where the text has no `kms` section. */
export function parseProviderConfig(
  file: string,
  text: string,
  environment: Environment,
): LoadedConfig<ProviderConfig> {
  return parse({ file, text, environment }, hasKms, (_config): _config is ProviderConfig => true)
}

interface Input {
  readonly file: string
  readonly text: string
  readonly environment: Environment
}

/** Two questions say what is asked for: whether a file must be complete, and whether what was read is enough. */
function parse<Kind extends ProviderConfig>(
  { file, text, environment }: Input,
  mustBeComplete: (value: unknown) => boolean,
  isEnough: (config: ProviderConfig) => config is Kind,
): LoadedConfig<Kind> {
  const source = readYaml(text)
  if (!('value' in source)) throw new ConfigError(file, source)
  // An empty file is a mapping without keys: then the message says which sections are missing.
  const { value, written, faults } = substituteEnvironment(source.value ?? {}, environment)
  const result = v.safeParse(configSchema, value, { message: explainType })
  const missing = mustBeComplete(value) ? findMissing(value) : []
  const found = [...faults, ...describeIssues(result.issues ?? [], { value, written }), ...missing]
  if (result.success && found.length === 0 && isEnough(result.output))
    return { config: freeze(result.output), written }
  throw new ConfigError(file, arrange(found, source))
}

/** With lines and in their order; of several faults of one value the first, so a missing variable is no second one. */
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
    throw new ConfigError(file, [{ path: '', message: explainUnreadable(cause) }], { cause })
  }
}

const UNREADABLE: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  ENOTDIR: 'there is no such file',
  EACCES: 'it may not be read by this user',
  EPERM: 'it may not be read by this user',
  EISDIR: 'it is a directory',
  ERR_ENCODING_INVALID_ENCODED_DATA: 'it is not UTF-8 text',
}

function explainUnreadable(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown error'
  return `cannot be read: ${UNREADABLE[code] ?? code}`
}

function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  for (const part of Object.values(value)) freeze(part)
  return Object.freeze(value)
}
