import * as v from 'valibot'

import { LOG_LEVELS } from '../log-level.ts'
import type { AdminConfig, ProviderConfig } from '../config.ts'
import { duration } from './duration.ts'
import { listenAddress } from './endpoint.ts'
import { csiSection } from './csi-section.ts'
import { kmsSection } from './kms-section.ts'
import { transitSection, vaultSection } from './vault-section.ts'
import { filePath } from './text.ts'

const drill = v.pipe(
  v.strictObject({
    tokenFile: filePath('File with the token that authorizes a drill: at least 16 characters.'),
    maxDuration: v.optional(duration('Maximum length of a drill.', '1s', '1h'), '10m'),
  }),
  v.description(
    'Allows transit-bridge drill outage on this host to disconnect the plugin from Vault for a limited time. Omit it unless a rehearsal is planned.',
  ),
  v.transform(({ maxDuration, ...rest }) => ({ ...rest, maxDurationMs: maxDuration })),
)

const adminSection = v.pipe(
  v.strictObject({
    listen: v.optional(listenAddress, '127.0.0.1:9390'),
    drill: v.exactOptional(drill),
  }),
  v.description('The HTTP listener for probes and metrics.'),
  v.check(
    (section) => section.drill === undefined || isLoopback(section.listen?.host),
    'contains drill, which requires a listener on loopback; set admin.listen to 127.0.0.1:9390',
  ),
  v.transform((section): AdminConfig => section),
)

function isLoopback(host: string | undefined): boolean {
  return host !== undefined && /^(localhost|127\.\d+\.\d+\.\d+|::1)$/.test(host)
}

const logSection = v.pipe(
  v.strictObject({
    level: v.optional(
      v.pipe(
        v.picklist(LOG_LEVELS),
        v.description(`Minimum level of the lines that are written: ${LOG_LEVELS.join(', ')}.`),
        v.metadata({ kind: 'word' }),
      ),
      'info',
    ),
  }),
  v.description('JSON lines on standard output.'),
)

/**
 * The schema of a configuration file. It parses the value of the YAML text into a ProviderConfig. Keys that it does not
 * require but most commands do are in ../required-keys.ts.
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
