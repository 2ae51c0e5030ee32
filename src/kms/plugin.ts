import type { CallContext } from '../call-context.ts'
import type { BridgeError } from '../errors.ts'
import type { Clock } from '../time/clock.ts'
import type { KmsConfig, TransitConfig } from '../config/config.ts'
import { UnaryFunnel } from '../grpc/unary.ts'
import type { GrpcService } from '../grpc/service.ts'
import { logKey, type Logger } from '../telemetry/log.ts'
import { CallDurations } from '../telemetry/metrics/call-durations.ts'
import type { KmsMetrics } from '../telemetry/metrics/roles.ts'
import { sizeOfDecrypt, sizeOfEncrypt } from '../transit/batch.ts'
import { Batcher } from '../transit/batcher.ts'
import { isSameKey } from '../transit/key.ts'
import { Transit, type DecryptInput, type EncryptInput } from '../transit/transit.ts'
import type { KeySnapshot } from '../seed/key-snapshot.ts'
import type { VaultRequester } from '../vault/client/request.ts'
import { ByteBudget } from './byte-budget.ts'
import { DecryptCache } from './decrypt-cache.ts'
import { serveKmsV1Beta1 } from './grpc-v1beta1.ts'
import { serveKmsV2 } from './grpc-v2.ts'
import { Health } from './health.ts'
import { KeyWatch, type KeyWatchOptions } from './key-watch.ts'
import { createLocalKeys, type LocalKeysParts } from './local/sealing.ts'
import { refuseWrongCiphertexts, refuseWrongPlaintexts } from './plaintext-length.ts'
import { KeyProof } from './proof.ts'
import { KeyService } from './service.ts'

/**
 * Bytes of plaintext and ciphertext that calls work on at once. Each takes about three bytes of the heap (base64, JSON,
 * body), which bin/transit-bridge limits to 80 MiB, and undici keeps the bodies of calls that gave up for a while longer.
 * 1,024 calls with DEK seeds take 0.2 MiB.
 */
const MAX_ACTIVE_BYTES = 3 * 1024 * 1024
/** Bytes of the calls that may wait. They are outside the heap, in the buffers that gRPC received. */
const MAX_WAITING_BYTES = 24 * 1024 * 1024

export interface KmsPluginOptions {
  readonly kms: KmsConfig
  readonly transit: TransitConfig
  /** The key with its mount and namespace, which a sealed file belongs to. */
  readonly keyPath: string
  /** Requests to Vault under the plugin's identity. */
  readonly vault: VaultRequester
  /** Called after each check that passed, with the context of its requests: the address that answered them has the key. */
  readonly onProven?: ((context: CallContext) => void) | undefined
  /** Called after that, to prove other addresses with what the requests of `proven` used. */
  readonly proveOthers?: KeyWatchOptions['proveOthers']
  /** What Version of KMS v1 returns. */
  readonly programVersion: string
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: KmsMetrics
}

/** What the admin server shows about local keys. */
export interface LocalKeysView {
  /** Local keys in memory, of this node and of others. */
  readonly count: number
  /** Milliseconds for which DEK seeds can be encrypted without Vault; 0 if they cannot. */
  readonly offlineLeftMs: number
  /** Whether kms.localKeys.sealedFile is set. */
  readonly hasFile: boolean
  /** Why the sealed file cannot be used, or could not be written or removed. */
  readonly fileFault: string | undefined
}

/** The KMS plugin without its socket: what a server serves and what the admin server shows. */
export interface KmsPlugin {
  readonly services: readonly GrpcService[]
  readonly watch: KeyWatch
  readonly health: Health
  /** Undefined if kms.localKeys is off. */
  readonly localKeys: LocalKeysView | undefined
  /** Before a scrape: updates the metrics of calls. */
  readonly updateMetrics: () => void
  /** Before `watch.start`: reads the sealed file (kms.localKeys.sealedFile), for a start without Vault. Never throws. */
  readonly restore: () => Promise<void>
  /** At the end: writes the sealed file. `callsEnd` resolves when no call is in flight any longer. Never throws. */
  readonly stop: (callsEnd: Promise<void>) => Promise<void>
  /** Whether the Vault behind a requester has the key that the plugin knows; true while it knows none. */
  readonly recognizes: (vault: VaultRequester, context: CallContext) => Promise<boolean>
}

/** Connects the parts of the plugin; the first request to Vault is that of KeyWatch.start. */
export function createKmsPlugin(options: KmsPluginOptions): KmsPlugin {
  const { kms, transit, clock, metrics, log } = options
  const offlineLeftMs = () => local.sealing?.offlineLeftMs(watch.snapshot) ?? 0
  const health = new Health({
    outageGraceMs: kms.outageGraceMs,
    offlineLeftMs: kms.localKeys.enabled ? offlineLeftMs : undefined,
    offlineNote: () => local.sealing?.offlineNote,
  })
  const cache = createCache(options)
  const calls = createTransitCalls(options)
  const { encrypt, decrypt } = calls
  const local = createLocalKeys({
    config: kms.localKeys,
    clusterId: kms.clusterId,
    keyPath: options.keyPath,
    encrypt,
    decrypt,
    onSealedFileWritten: () => metrics.sealedFileTime.set(clock.now() / 1000),
    isOffline: () => health.needsProof,
    askVault: () => watch.suspect(),
    clock,
    log,
  })
  const forget = () => {
    cache?.clear()
    local.sealing?.refuse()
  }
  const watch = createWatch(options, calls, { health, onRefusal: forget, localKeys: local.sealing })
  const service = new KeyService({
    clusterId: kms.clusterId,
    alsoDecryptClusters: kms.alsoDecryptClusters,
    acceptVaultKubernetesKms: kms.acceptFrom.includes('vault-kubernetes-kms'),
    watch,
    health,
    encrypt,
    decrypt,
    localKeys: local.sealing,
    ring: local.ring,
    cache,
    budget: createBudget(options),
    onRefusal: forget,
    onCacheHit: () => metrics.decryptCacheHits.inc(),
    clock,
  })
  const durations = new CallDurations(metrics.kmsRequestDuration)
  const funnel = createFunnel(options, durations)
  return {
    services: createServices(options, service, funnel),
    watch,
    health,
    localKeys: viewLocalKeys(local, watch),
    updateMetrics: () => {
      metrics.kmsCallsInFlight.set(funnel.callsInFlight)
      durations.flush()
    },
    restore: async () => {
      const snapshot = await local.sealing?.restore(kms)
      if (snapshot !== undefined) watch.restore(snapshot)
    },
    stop: async (callsEnd) => {
      watch.stop()
      await local.sealing?.stop(callsEnd)
      await callsEnd
    },
    recognizes: (vault, context) => recognizes(watch.snapshot, transit, vault, context),
  }
}

interface TransitCalls {
  readonly engine: Transit
  readonly encrypt: (input: EncryptInput, context: CallContext) => Promise<string>
  readonly decrypt: (input: DecryptInput, context: CallContext) => Promise<Buffer>
  readonly proof: KeyProof
}

/** The calls to Transit, in batches and with checked lengths. */
function createTransitCalls(options: KmsPluginOptions): TransitCalls {
  const { kms, transit, vault, clock, metrics } = options
  const { key } = transit
  const engine = new Transit({ vault, mount: transit.mount, isUniform: true })
  const encrypts = new Batcher({
    send: async (inputs: readonly EncryptInput[], context) =>
      refuseWrongCiphertexts(inputs, await engine.encrypt(key, inputs, context)),
    sizeOf: sizeOfEncrypt,
    clock,
    onBatchDenied: (error) => warnOfDenial(options, 'encrypt', error),
  })
  const decrypts = new Batcher({
    send: async (inputs: readonly DecryptInput[], context) =>
      refuseWrongPlaintexts(inputs, await engine.decrypt(key, inputs, context)),
    sizeOf: sizeOfDecrypt,
    discard: (plaintext) => void plaintext.fill(0),
    clock,
    onBatch: (size) => metrics.decryptBatchSize.observe(size),
    onBatchDenied: (error) => warnOfDenial(options, 'decrypt', error),
  })
  const proof = new KeyProof({
    transit: engine,
    keyName: key,
    clusterId: kms.clusterId,
    onBatchDenied: (operation, error) =>
      (operation === 'encrypt' ? encrypts : decrypts).pauseBatches(error),
  })
  return {
    engine,
    encrypt: (input, context) => encrypts.run(input, context),
    decrypt: (input, context) => decrypts.run(input, context),
    proof,
  }
}

function warnOfDenial(
  { transit: { mount, key }, log }: KmsPluginOptions,
  operation: 'encrypt' | 'decrypt',
  error: BridgeError,
): void {
  const calls = operation === 'encrypt' ? 'Encrypts' : 'Decrypts'
  log.warn(
    { [logKey.reason]: error.code },
    `Vault denies batches, so concurrent ${calls} are sent one by one, which is slower: allow the parameter batch_input for ${mount}/${operation}/${key} in the policy, and require no other parameter`,
  )
}

function createWatch(
  { kms, transit, vault, onProven, proveOthers, clock, log, metrics }: KmsPluginOptions,
  { engine, proof }: TransitCalls,
  parts: Pick<KeyWatchOptions, 'health' | 'onRefusal' | 'localKeys'>,
): KeyWatch {
  return new KeyWatch({
    ...parts,
    readKey: (context, knownVersion) => engine.readKey(transit.key, context, { knownVersion }),
    isStandby: (context) => isStandby(vault, context),
    proveKey: (snapshot, context) => proof.prove(snapshot, context),
    clusters: kms,
    refreshIntervalMs: kms.refreshIntervalMs,
    onProven,
    proveOthers,
    clock,
    log,
    metrics,
  })
}

function viewLocalKeys(
  { sealing, ring }: LocalKeysParts,
  watch: KeyWatch,
): LocalKeysView | undefined {
  return (
    sealing && {
      hasFile: sealing.hasFile,
      get count() {
        return ring.size
      },
      get offlineLeftMs() {
        return sealing.offlineLeftMs(watch.snapshot)
      },
      get fileFault() {
        return sealing.fileFault
      },
    }
  )
}

/** Each node answers for itself, and without a token (https://openbao.org/api-docs/system/leader/). */
async function isStandby(vault: VaultRequester, context: CallContext): Promise<boolean> {
  const { body } = await vault.request(
    { operation: 'find_leader', method: 'GET', path: 'sys/leader', namespace: '' },
    context,
  )
  const { ha_enabled: isCluster, is_self: isLeader } = (body ?? {}) as Record<string, unknown>
  return isCluster === true && isLeader === false
}

async function recognizes(
  known: KeySnapshot | undefined,
  { mount, key }: TransitConfig,
  vault: VaultRequester,
  context: CallContext,
): Promise<boolean> {
  if (known === undefined) return true
  return isSameKey(known.key, await new Transit({ vault, mount }).readKey(key, context))
}

function createBudget({ clock }: KmsPluginOptions): ByteBudget {
  return new ByteBudget({
    maxActiveBytes: MAX_ACTIVE_BYTES,
    maxWaitingBytes: MAX_WAITING_BYTES,
    clock,
  })
}

function createCache({ kms, clock }: KmsPluginOptions): DecryptCache | undefined {
  const { enabled, maxEntries, ttlMs } = kms.decryptCache
  return enabled ? new DecryptCache({ maxEntries, ttlMs, clock }) : undefined
}

function createFunnel(
  { kms, clock, log }: KmsPluginOptions,
  durations: CallDurations,
): UnaryFunnel {
  return new UnaryFunnel({
    clock,
    log,
    onCall: (method, code, seconds) => durations.add(method, code, seconds),
    maxInFlight: kms.maxCallsInFlight,
  })
}

function createServices(
  { kms, programVersion }: KmsPluginOptions,
  service: KeyService,
  funnel: UnaryFunnel,
): GrpcService[] {
  const v2 = serveKmsV2(service, funnel)
  return kms.v1beta1 ? [v2, serveKmsV1Beta1(service, funnel, programVersion)] : [v2]
}
