import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client'

/** From 0.25 ms, a Status from memory, to 5 s, past the API server's default deadline of 3 s. */
const LATENCY_BUCKETS = [
  0.000_25, 0.000_5, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.25, 0.5, 1, 2, 3, 5,
]
const PREFIX = 'transit_bridge_'

export type Metrics = ReturnType<typeof createMetrics>

/** Every metric of the program, named here and nowhere else. Labels are bounded: see docs/metrics.md. */
export function createMetrics(version: string) {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  const metrics = {
    registry,
    kmsRequestDuration: new Histogram({
      name: `${PREFIX}kms_request_duration_seconds`,
      help: 'Duration of a KMS call, by method and gRPC status code.',
      labelNames: ['method', 'code'] as const,
      buckets: LATENCY_BUCKETS,
      registers,
    }),
    kmsCallsInFlight: new Gauge({
      name: `${PREFIX}kms_calls_in_flight`,
      help: 'KMS calls in progress.',
      registers,
    }),
    vaultRequestDuration: new Histogram({
      name: `${PREFIX}vault_request_duration_seconds`,
      help: 'Duration of a request to Vault, by operation and outcome (ok or an error code).',
      labelNames: ['operation', 'outcome'] as const,
      buckets: LATENCY_BUCKETS,
      registers,
    }),
    vaultUp: new Gauge({
      name: `${PREFIX}vault_up`,
      help: '1 if the last request to Vault got a response from a working Vault, else 0.',
      registers,
    }),
    vaultTokenExpiry: new Gauge({
      name: `${PREFIX}vault_token_expiry_timestamp_seconds`,
      help: 'Expiry of the current Vault token, in seconds since 1970; 0 without a token, +Inf if it never expires.',
      registers,
    }),
    vaultLogins: new Counter({
      name: `${PREFIX}vault_logins_total`,
      help: 'Logins to Vault, by method and outcome (ok or an error code).',
      labelNames: ['method', 'outcome'] as const,
      registers,
    }),
    identityTokenExpiry: new Gauge({
      name: `${PREFIX}identity_token_expiry_timestamp_seconds`,
      help: 'Expiry of the service-account token that was last read for a login, in seconds since 1970.',
      registers,
    }),
    keyVersion: new Gauge({
      name: `${PREFIX}key_version`,
      help: 'Transit key version that Status announces; 0 before the first read of the key.',
      registers,
    }),
    keyRotationsSeen: new Counter({
      name: `${PREFIX}key_rotations_seen_total`,
      help: 'Changes of the announced key version since the process started.',
      registers,
    }),
    statusSnapshotAge: new Gauge({
      name: `${PREFIX}status_snapshot_age_seconds`,
      help: 'Age of the key metadata that Status uses; -1 before the first read.',
      registers,
    }),
    kmsHealthy: new Gauge({
      name: `${PREFIX}kms_healthy`,
      help: '1 if Status is ok, else 0. The reason is ok, starting or an error code; only the current reason has a series.',
      labelNames: ['reason'] as const,
      registers,
    }),
    decryptBatchSize: new Histogram({
      name: `${PREFIX}decrypt_batch_size`,
      help: 'Values per decrypt request to Vault.',
      buckets: [1, 2, 4, 8, 16, 32, 64],
      registers,
    }),
    decryptCacheHits: new Counter({
      name: `${PREFIX}decrypt_cache_hits_total`,
      help: 'Decrypt calls answered from the decrypt cache (kms.decryptCache).',
      registers,
    }),
    csiMountDuration: new Histogram({
      name: `${PREFIX}csi_mount_duration_seconds`,
      help: 'Duration of a Mount, by gRPC status code.',
      labelNames: ['code'] as const,
      buckets: [...LATENCY_BUCKETS, 10, 20],
      registers,
    }),
    csiMountsInFlight: new Gauge({
      name: `${PREFIX}csi_mounts_in_flight`,
      help: 'Calls of the CSI driver in progress.',
      registers,
    }),
    csiObjects: new Counter({
      name: `${PREFIX}csi_objects_total`,
      help: 'Objects of Mounts that passed csi.rules, by type and outcome: vault or cache (where the content came from), absent (optional and missing), or the error code of the Mount.',
      labelNames: ['type', 'outcome'] as const,
      registers,
    }),
    csiContentHits: new Counter({
      name: `${PREFIX}csi_content_hits_total`,
      help: 'Mounts whose decrypted content came from the cache (csi.revalidateAfter).',
      registers,
    }),
    csiSessions: new Gauge({
      name: `${PREFIX}csi_sessions`,
      help: 'Vault sessions of pods, one per service-account token and role.',
      registers,
    }),
    csiVolumes: new Gauge({
      name: `${PREFIX}csi_volumes`,
      help: 'Volumes with a Mount in the last five minutes.',
      registers,
    }),
    csiVolumesFailing: new Gauge({
      name: `${PREFIX}csi_volumes_failing`,
      help: 'Volumes whose last Mount failed, by reason: outage (Vault cannot answer) or the error code of the Mount.',
      labelNames: ['reason'] as const,
      registers,
    }),
    csiOldestContentAge: new Gauge({
      name: `${PREFIX}csi_oldest_content_age_seconds`,
      help: 'For the volume that has waited longest: the time since Vault confirmed its content; 0 without volumes.',
      registers,
    }),
    csiStreamsRefused: new Counter({
      name: `${PREFIX}csi_streams_refused_total`,
      help: 'Streams that HTTP/2 rejected before a call could be read, for example from a CSI driver older than 1.6.0.',
      registers,
    }),
    logLinesDropped: new Counter({
      name: `${PREFIX}log_lines_dropped_total`,
      help: 'Log lines that were dropped because they could not be written in time.',
      registers,
    }),
    buildInfo: new Gauge({
      name: `${PREFIX}build_info`,
      help: 'Always 1; the labels contain the version of the program and of Node.js.',
      labelNames: ['version', 'node'] as const,
      registers,
    }),
  }
  metrics.buildInfo.set({ version, node: process.versions.node }, 1)
  return metrics
}
