import { LATENCY_BUCKETS } from './buckets.ts'
import { counter, gauge, histogram } from './definition.ts'

/** Of the KMS plugin alone. */
export const kmsMetrics = {
  kmsHealthy: gauge({
    name: 'transit_bridge_kms_healthy',
    help: '1 if Status is `ok`, else 0. The reason is `ok`, `starting` or an error code; only the current reason has a series.',
    lookFor:
      '0 for longer than a start takes: kube-apiserver is unready or will be. 1 with a reason other than `ok`: Vault has an outage, within `kms.outageGrace` or while local keys are in use.',
    labelNames: ['reason'],
  }),
  kmsRequestDuration: histogram({
    name: 'transit_bridge_kms_request_duration_seconds',
    help: 'Duration of a KMS call, by method and gRPC status code.',
    lookFor:
      'Any code except `OK` for Encrypt or Decrypt. A Decrypt over 100 ms: API servers start slowly.',
    labelNames: ['method', 'code'],
    buckets: LATENCY_BUCKETS,
  }),
  kmsCallsInFlight: gauge({
    name: 'transit_bridge_kms_calls_in_flight',
    help: 'KMS calls in progress.',
    lookFor: 'Near `kms.maxCallsInFlight`: further calls are refused with `RESOURCE_EXHAUSTED`.',
    startsAt: 0,
  }),
  statusSnapshotTime: gauge({
    name: 'transit_bridge_status_snapshot_timestamp_seconds',
    help: 'When Vault last confirmed the key metadata that Status uses, in seconds since 1970. No series before the first read.',
    lookFor: 'More than three times `kms.refreshInterval` ago: a rotation would not be noticed.',
  }),
  keyVersion: gauge({
    name: 'transit_bridge_key_version',
    help: 'Transit key version that Status announces. No series before the first read of the key.',
    lookFor:
      'Different versions on different nodes for longer than `kms.refreshInterval`: a rotation has not reached all nodes.',
  }),
  keyInfo: gauge({
    name: 'transit_bridge_key_info',
    help: 'Always 1; the labels contain the key version that Status announces, and the hash of its key id as in the metrics of kube-apiserver, so that a query can join both. No series before the first read of the key.',
    lookFor:
      'A hash that no API server reports in `apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds`: it uses another plugin, or has not called Status.',
    labelNames: ['key_id_hash', 'key_version'],
  }),
  keyRotationsSeen: counter({
    name: 'transit_bridge_key_rotations_seen_total',
    help: 'Changes of the announced key version since the process started.',
    lookFor: 'An increase that was not planned; stored data is re-encrypted only by a rewrite.',
  }),
  decryptBatchSize: histogram({
    name: 'transit_bridge_decrypt_batch_size',
    help: 'Values per decrypt request to Vault.',
    lookFor:
      'Above 1 while many Decrypts arrive at once, for example when an API server starts. Always 64: calls arrive faster than Vault answers.',
    buckets: [1, 2, 4, 8, 16, 32, 64],
  }),
  decryptCacheHits: counter({
    name: 'transit_bridge_decrypt_cache_hits_total',
    help: 'Decrypt calls answered from the decrypt cache (`kms.decryptCache`).',
    lookFor: '0 although the cache is enabled: it was emptied by a refusal or a restart.',
  }),
  loginsFailingSince: gauge({
    name: 'transit_bridge_vault_logins_failing_since_timestamp_seconds',
    help: 'Since when logins to Vault fail, in seconds since 1970, by method and the error code of the last one. No series while they work. A credential that Vault refused is held back, so failures can last without another login.',
    lookFor:
      'Any series that lasts: the plugin works until its Vault token expires, and not longer.',
    labelNames: ['method', 'code'],
  }),
  localKeyCount: gauge({
    name: 'transit_bridge_local_keys',
    help: 'Local keys in memory, of this node and of others. No series unless `kms.localKeys` is enabled.',
    lookFor: '0 for longer than a start takes: Vault refuses, or the time without Vault is over.',
  }),
  sealedFileTime: gauge({
    name: 'transit_bridge_sealed_file_timestamp_seconds',
    help: 'When the sealed file was last written, in seconds since 1970. No series before the first write, or unless `kms.localKeys.sealedFile` is set.',
    lookFor:
      'More than 15 minutes ago while Vault answers: it cannot be written, and a start without Vault may not be possible; `/readyz?format=json` says why.',
  }),
  sealedFileUsable: gauge({
    name: 'transit_bridge_sealed_file_usable',
    help: '0 if the sealed file did not exist or could not be used at the start and was not written since, or if the last write or removal failed; otherwise 1. No series unless `kms.localKeys.sealedFile` is set.',
    lookFor:
      '0 for longer than 15 minutes: a start without Vault may not be possible; `/readyz?format=json` says why.',
  }),
  offlineUntil: gauge({
    name: 'transit_bridge_offline_until_timestamp_seconds',
    help: 'Until when local keys encrypt without Vault, in seconds since 1970. No series if they do not, or unless `kms.localKeys` is enabled.',
    lookFor:
      'Less than an hour ahead while `transit_bridge_kms_healthy` has a reason other than `ok`: Encrypt fails then, and API servers become unready.',
  }),
  vaultTokenExpiry: gauge({
    name: 'transit_bridge_vault_token_expiry_timestamp_seconds',
    help: 'Expiry of the current Vault token, in seconds since 1970; +Inf if it never expires. No series without a token.',
    lookFor:
      'Less than a tenth of the token lifetime away: the logins that should have replaced it fail.',
  }),
}
