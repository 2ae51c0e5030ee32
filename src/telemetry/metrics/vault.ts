import { LATENCY_BUCKETS } from './buckets.ts'
import { counter, gauge, histogram } from './definition.ts'

/** Of every server that sends requests to Vault. */
export const vaultMetrics = {
  vaultUp: gauge({
    name: 'transit_bridge_vault_up',
    help: '1 if the last request to Vault got a response from a working Vault, else 0. No series before the first request.',
    lookFor: '0 for more than a minute.',
  }),
  vaultRequestDuration: histogram({
    name: 'transit_bridge_vault_request_duration_seconds',
    help: 'Duration of a request to Vault, by operation and outcome (`ok` or an error code).',
    lookFor:
      'Outcomes `VAULT_*` and `DEADLINE_EXCEEDED`; the duration of `decrypt` and `encrypt` compared with the KMS call.',
    labelNames: ['operation', 'outcome'],
    buckets: LATENCY_BUCKETS,
  }),
  vaultLogins: counter({
    name: 'transit_bridge_vault_logins_total',
    help: 'Logins to Vault, by method and outcome (`ok` or an error code).',
    lookFor:
      'Outcomes other than `ok`. More than a few per hour: the token lifetime is too short, or Vault revokes tokens.',
    labelNames: ['method', 'outcome'],
  }),
  clientCertificateStart: gauge({
    name: 'transit_bridge_vault_client_certificate_not_before_timestamp_seconds',
    help: 'Start of the validity of the client certificate for Vault, in seconds since 1970. No series without a client certificate.',
    lookFor: 'Its distance from the expiry is the lifetime of the certificate.',
  }),
  clientCertificateExpiry: gauge({
    name: 'transit_bridge_vault_client_certificate_expiry_timestamp_seconds',
    help: 'Expiry of the client certificate for Vault, in seconds since 1970: the earliest in its file. No series without a client certificate.',
    lookFor:
      'Less than a tenth of its lifetime away: the program that renews the file is not running.',
  }),
  caExpiry: gauge({
    name: 'transit_bridge_vault_ca_expiry_timestamp_seconds',
    help: 'Expiry of the certificate authorities in `vault.caFile`, in seconds since 1970: the earliest in the file. No series without `vault.caFile`.',
    lookFor: 'Less than a month away: add the next authority, and remove an expired one.',
  }),
}
