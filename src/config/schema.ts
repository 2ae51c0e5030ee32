import * as v from 'valibot'

import { LOG_LEVELS } from '../telemetry/log.ts'
import type { AdminConfig, ProviderConfig } from './config.ts'
import { listenAddress } from './endpoint.ts'
import { csiSection } from './schema-csi.ts'
import { kmsSection } from './schema-kms.ts'
import { transitSection, vaultSection } from './schema-vault.ts'

const adminSection = v.pipe(
  v.strictObject({ listen: v.optional(listenAddress, '127.0.0.1:9390') }),
  v.description('The HTTP listener for probes and metrics.'),
  v.transform(({ listen }): AdminConfig => (listen === undefined ? {} : { listen })),
)

const logSection = v.pipe(
  v.strictObject({
    level: v.optional(
      v.pipe(
        v.picklist(LOG_LEVELS),
        v.description(`The quietest lines that are still written: ${LOG_LEVELS.join(', ')}.`),
        v.metadata({ kind: 'word' }),
      ),
      'info',
    ),
  }),
  v.description('JSON lines on standard output.'),
)

/**
 * Everything that a configuration file may hold. It takes what YAML gives and makes a ProviderConfig of it; what most
 * commands need beyond that is in needed.ts.
 */
export const configSchema = v.pipe(
  v.strictObject({
    vault: vaultSection,
    transit: v.optional(transitSection, {}),
    kms: v.exactOptional(kmsSection),
    csi: v.exactOptional(csiSection),
    admin: v.optional(adminSection, {}),
    log: v.optional(logSection, {}),
  }),
  v.description('Configuration of transit-bridge.'),
  v.transform(({ csi, ...rest }): ProviderConfig => {
    if (csi === undefined) return rest
    return { ...rest, csi: { ...csi, mount: csi.mount ?? rest.transit.mount } }
  }),
)
