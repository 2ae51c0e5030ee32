import { BridgeError } from '../errors.ts'
import type { ProviderConfig } from './config.ts'

export type OptionalSection = 'kms' | 'csi'

const EXAMPLES: Readonly<Record<OptionalSection, string>> = {
  kms: 'kms: {clusterId: NAME-OF-THE-CLUSTER}',
  csi: 'csi: {audience: vault, rules: […]}',
}

/** Returns a section that a command requires. If it is missing, throws CONFIG_INVALID with what to add. */
export function requireSection<Name extends OptionalSection>(
  config: ProviderConfig,
  name: Name,
): NonNullable<ProviderConfig[Name]> {
  const section = config[name]
  if (section !== undefined) return section
  const text = `${name}: is missing; transit-bridge ${name} requires this section in the configuration, at least ${EXAMPLES[name]}`
  throw new BridgeError('CONFIG_INVALID', text)
}
