import type { CallContext } from '../call-context.ts'
import type { Clock } from '../time/clock.ts'
import type { KmsConfig, TransitConfig } from '../config/config.ts'
import { UnaryFunnel } from '../grpc/unary.ts'
import type { GrpcService } from '../grpc/service.ts'
import type { Logger } from '../telemetry/log.ts'
import type { Metrics } from '../telemetry/metrics.ts'
import { DecryptBatcher } from '../transit/decrypt-batcher.ts'
import { isSameKey } from '../transit/key.ts'
import { Transit } from '../transit/transit.ts'
import type { VaultRequester } from '../vault/client/request.ts'
import { DecryptCache } from './decrypt-cache.ts'
import { serveKmsV1Beta1 } from './grpc-v1beta1.ts'
import { serveKmsV2 } from './grpc-v2.ts'
import { Health } from './health.ts'
import { KeyWatch } from './key-watch.ts'
import { KeyService } from './service.ts'

export interface KmsPluginOptions {
  readonly kms: KmsConfig
  readonly transit: TransitConfig
  /** Requests to Vault under the plugin's identity. */
  readonly vault: VaultRequester
  /** Called after each check that passed: the address of Vault that is in use serves the key. */
  readonly onProven?: (() => void) | undefined
  /** Told to API servers that ask by KMS v1. */
  readonly programVersion: string
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: Metrics
}

/** The KMS plugin without its socket: what a server serves, and what admin pages show. */
export interface KmsPlugin {
  readonly services: readonly GrpcService[]
  readonly watch: KeyWatch
  readonly health: Health
  /** Whether the Vault behind a requester has the key that the plugin knows; true while it knows none. */
  readonly recognizes: (vault: VaultRequester, context: CallContext) => Promise<boolean>
}

/** Joins the parts of the plugin; nothing is asked of Vault before the watch is started. */
export function createKmsPlugin(options: KmsPluginOptions): KmsPlugin {
  const { kms, transit, clock, metrics, log } = options
  const health = new Health(kms.outageGraceMs)
  const cache = createCache(kms)
  const engine = new Transit({ vault: options.vault, mount: transit.mount })
  const batcher = new DecryptBatcher({
    decrypt: (inputs, context) => engine.decrypt(transit.key, inputs, context),
    clock,
    onBatch: (size) => metrics.decryptBatchSize.observe(size),
  })
  const watch = new KeyWatch({
    readKey: (context) => engine.readKey(transit.key, context),
    proveKey: (snapshot, context) => service.prove(snapshot, context),
    clusters: kms,
    refreshInterval: kms.refreshIntervalMs,
    health,
    onProven: options.onProven,
    onRefusal: () => cache?.clear(),
    clock,
    log,
    metrics,
  })
  const service: KeyService = new KeyService({
    clusterId: kms.clusterId,
    alsoDecryptClusters: kms.alsoDecryptClusters,
    acceptVaultKubernetesKms: kms.acceptFrom.includes('vault-kubernetes-kms'),
    watch,
    health,
    encrypt: (input, context) => engine.encrypt(transit.key, input, context),
    decrypt: (input, context) => batcher.decrypt(input, context),
    ...(cache === undefined ? {} : { cache }),
    onCacheHit: () => metrics.decryptCacheHits.inc(),
    clock,
  })
  return {
    services: createServices(options, service),
    watch,
    health,
    recognizes: async (vault, context) => {
      if (watch.snapshot === undefined) return true
      const found = await new Transit({ vault, mount: transit.mount }).readKey(transit.key, context)
      return isSameKey(watch.snapshot.key, found)
    },
  }
}

function createCache({ decryptCache }: KmsConfig): DecryptCache | undefined {
  const { enabled, maxEntries, ttlMs } = decryptCache
  return enabled ? new DecryptCache({ maxEntries, ttl: ttlMs }) : undefined
}

function createServices(options: KmsPluginOptions, service: KeyService): GrpcService[] {
  const { kms, metrics, clock, log, programVersion } = options
  const funnel = new UnaryFunnel({
    clock,
    log,
    onCall: (method, code, seconds) =>
      metrics.kmsRequestDuration.observe({ method, code }, seconds),
    onInFlight: (calls) => metrics.kmsCallsInFlight.set(calls),
    maxInFlight: kms.maxCallsInFlight,
  })
  const v2 = serveKmsV2(service, funnel)
  return kms.v1beta1 ? [v2, serveKmsV1Beta1(service, funnel, programVersion)] : [v2]
}
