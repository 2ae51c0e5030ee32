import { LATENCY_BUCKETS } from './buckets.ts'
import { counter, gauge, histogram } from './definition.ts'

/** Of the CSI provider alone. */
export const csiMetrics = {
  csiMountDuration: histogram({
    name: 'transit_bridge_csi_mount_duration_seconds',
    help: 'Duration of a Mount, by gRPC status code.',
    lookFor: 'Any code except `OK`: pods wait for their volumes.',
    labelNames: ['code'],
    buckets: [...LATENCY_BUCKETS, 10, 20],
  }),
  csiMountsInFlight: gauge({
    name: 'transit_bridge_csi_mounts_in_flight',
    help: 'Calls of the CSI driver in progress.',
    lookFor: 'A number that does not fall: Vault is slow or has an outage.',
    startsAt: 0,
  }),
  csiObjects: counter({
    name: 'transit_bridge_csi_objects_total',
    help: 'Objects of Mounts that passed `csi.rules`, by type and outcome: `vault` or `cache` (where the content came from), `absent` (optional and missing), or the error code of the Mount.',
    lookFor:
      'Error codes. Mounts that fail earlier (token, class, rules) are in `transit_bridge_csi_volumes_failing`.',
    labelNames: ['type', 'outcome'],
  }),
  csiContentHits: counter({
    name: 'transit_bridge_csi_content_hits_total',
    help: 'Mounts whose decrypted content came from the cache (`csi.revalidateAfter`).',
    lookFor:
      'No increase although volumes with decrypted content are republished: each one asks Vault.',
  }),
  csiSessions: gauge({
    name: 'transit_bridge_csi_sessions',
    help: 'Vault sessions of pods, one per service-account token and role.',
    lookFor: 'Growth without more pods.',
    startsAt: 0,
  }),
  csiVolumes: gauge({
    name: 'transit_bridge_csi_volumes',
    help: 'Volumes with a Mount in the last five minutes.',
    lookFor:
      '0 on a node whose pods have such volumes: the driver does not republish, so content does not stay fresh.',
    startsAt: 0,
  }),
  csiVolumesFailing: gauge({
    name: 'transit_bridge_csi_volumes_failing',
    help: 'Volumes whose last Mount failed, by reason: `outage` (Vault cannot answer) or the error code of the Mount.',
    lookFor:
      'Above 0 for longer than a few minutes. `RULE_DENIED` is a class that requests what `csi.rules` does not allow.',
    labelNames: ['reason'],
  }),
  csiOldestContentTime: gauge({
    name: 'transit_bridge_csi_oldest_content_timestamp_seconds',
    help: 'For the volume that has waited longest: when Vault last confirmed its content, in seconds since 1970. No series without such a volume.',
    lookFor: 'Longer ago than `csi.revalidateAfter`: Vault does not answer for that volume.',
  }),
  csiRuntimeRequestDuration: histogram({
    name: 'transit_bridge_csi_runtime_request_duration_seconds',
    help: 'Duration of a request of a pod through the socket of its volume, by operation of `csi.rules` (`own`: answered without Vault, `none`: not recognized) and HTTP status (`2xx`, `4xx`, `5xx`: an unusual one that Vault returned for this request, or that the client chose).',
    lookFor:
      '`503`: Vault cannot answer, or the driver was restarted and waits for tokens. `500`: a bug. `403`: no rule or policy allows the request. `429`: a pod sends more than its limits allow, or than Vault answers in time. `499`: the pod disconnected before the response. `5xx`: requests that Transit cannot carry out, such as a signature with a version that the key does not have.',
    labelNames: ['operation', 'code'],
    buckets: [...LATENCY_BUCKETS, 10, 20],
  }),
  csiRuntimePublishDuration: histogram({
    name: 'transit_bridge_csi_runtime_publish_duration_seconds',
    help: "Duration of the kubelet's calls for volumes with a socket, by gRPC status code.",
    lookFor: 'Any code except `OK`: pods wait for their volumes.',
    labelNames: ['code'],
    buckets: [...LATENCY_BUCKETS, 10, 20],
  }),
  csiRuntimeRequestsInFlight: gauge({
    name: 'transit_bridge_csi_runtime_requests_in_flight',
    help: 'Requests of pods that Vault is answering now. No series if `csi.runtime` is off.',
    lookFor: '32 for a long time: that is the limit, so requests of pods wait.',
  }),
  csiRuntimeVolumes: gauge({
    name: 'transit_bridge_csi_runtime_volumes',
    help: 'Volumes with a socket. No series if `csi.runtime` is off.',
    lookFor: 'Fewer than pods with such volumes on the node.',
  }),
  csiRuntimeVolumesWaiting: gauge({
    name: 'transit_bridge_csi_runtime_volumes_waiting',
    help: 'Volumes whose pods receive 503 until the kubelet sends a token: after a restart, if `csi.runtime.stateFolder` is not in memory.',
    lookFor:
      'Above 0 for longer than two minutes: the kubelet does not republish (`requiresRepublish` of the CSIDriver object).',
  }),
  csiStreamsRefused: counter({
    name: 'transit_bridge_csi_streams_refused_total',
    help: 'Streams that HTTP/2 rejected before a call could be read, for example from a CSI driver older than 1.6.0.',
    lookFor: 'Any increase: update the Secrets Store CSI driver.',
  }),
}
