import type { JsonBody } from '../../real/program/json-body.ts'

/** A value of kms or csi, where its effect is in the pod, and what is there. */
export type PartRow = {
  value: string
  set: unknown
  /** A path in the pod of the DaemonSet or of the static pod: "container" is its only container. */
  at: string
  /** What must be there, among other things. */
  is: unknown
  /** Only in the DaemonSet of the part: a static pod is not scheduled, and its readiness is the installer's. */
  ofDaemonSet?: boolean
}

const env = [{ name: 'NODE_EXTRA_CA_CERTS', value: '/v/ca.pem' }]
const hostAliases = [{ ip: '2001:db8::10', hostnames: ['vault.example.com'] }]
const affinity = {
  nodeAffinity: {
    requiredDuringSchedulingIgnoredDuringExecution: {
      nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'In', values: ['a'] }] }],
    },
  },
}

export const PART_ROWS: readonly PartRow[] = [
  { value: 'extraEnv', set: env, at: 'container.env', is: env },
  { value: 'extraArgs', set: ['--help'], at: 'container.args', is: ['--help'] },
  {
    value: 'extraVolumes',
    set: [{ name: 'v', hostPath: { path: '/v', type: 'Directory' } }],
    at: 'spec.volumes',
    is: [{ name: 'v', hostPath: { path: '/v', type: 'Directory' } }],
  },
  {
    value: 'extraVolumeMounts',
    set: [{ name: 'v', mountPath: '/v', readOnly: true }],
    at: 'container.volumeMounts',
    is: [{ name: 'v', mountPath: '/v', readOnly: true }],
  },
  { value: 'hostAliases', set: hostAliases, at: 'spec.hostAliases', is: hostAliases },
  {
    value: 'dnsPolicy',
    set: 'ClusterFirstWithHostNet',
    at: 'spec.dnsPolicy',
    is: 'ClusterFirstWithHostNet',
  },
  {
    value: 'dnsConfig',
    set: { nameservers: ['192.0.2.53'], options: [{ name: 'ndots', value: '1' }] },
    at: 'spec.dnsConfig',
    is: { nameservers: ['192.0.2.53'], options: [{ name: 'ndots', value: '1' }] },
  },
  { value: 'podLabels', set: { team: 'a' }, at: 'metadata.labels', is: { team: 'a' } },
  {
    value: 'podAnnotations',
    set: { 'example.com/note': 'a' },
    at: 'metadata.annotations',
    is: { 'example.com/note': 'a' },
  },
  {
    value: 'podSecurityContext',
    set: { seccompProfile: { type: 'Localhost', localhostProfile: 'p.json' }, fsGroup: 0 },
    at: 'spec.securityContext',
    is: { runAsUser: 0, fsGroup: 0, seccompProfile: { type: 'Localhost' } },
  },
  {
    value: 'securityContext',
    set: { readOnlyRootFilesystem: false, capabilities: { add: ['DAC_OVERRIDE'] } },
    at: 'container.securityContext',
    is: { readOnlyRootFilesystem: false, capabilities: { drop: ['ALL'], add: ['DAC_OVERRIDE'] } },
  },
  {
    value: 'privileged',
    set: true,
    at: 'container.securityContext',
    is: { privileged: true, allowPrivilegeEscalation: true },
  },
  {
    value: 'startupProbe',
    set: { failureThreshold: 99 },
    at: 'container.startupProbe',
    is: { failureThreshold: 99, periodSeconds: 1, exec: {} },
  },
  {
    value: 'livenessProbe',
    set: { periodSeconds: 60, initialDelaySeconds: 0 },
    at: 'container.livenessProbe',
    is: { periodSeconds: 60, initialDelaySeconds: 0, failureThreshold: 3, exec: {} },
  },
  {
    value: 'readinessProbe',
    set: { periodSeconds: 7, successThreshold: 2 },
    at: 'container.readinessProbe',
    is: { periodSeconds: 7, successThreshold: 2, httpGet: { path: '/readyz' } },
    ofDaemonSet: true,
  },
  {
    value: 'priorityClassName',
    set: 'system-cluster-critical',
    at: 'spec.priorityClassName',
    is: 'system-cluster-critical',
  },
  { value: 'affinity', set: affinity, at: 'spec.affinity', is: affinity, ofDaemonSet: true },
  {
    value: 'nodeSelector',
    set: { disk: 'ssd' },
    at: 'spec.nodeSelector',
    is: { disk: 'ssd' },
    ofDaemonSet: true,
  },
  {
    value: 'tolerations',
    set: [{ key: 'a', operator: 'Equal', value: 'b', effect: 'NoExecute', tolerationSeconds: 0 }],
    at: 'spec.tolerations',
    is: [{ key: 'a', value: 'b', tolerationSeconds: 0 }],
    ofDaemonSet: true,
  },
  {
    value: 'seLinuxOptions',
    set: { type: 'spc_t', level: 's0:c1,c2' },
    at: 'spec.securityContext.seLinuxOptions',
    is: { type: 'spc_t' },
  },
  {
    value: 'serviceAccount',
    set: { create: false, name: 'mine' },
    at: 'spec.serviceAccountName',
    is: 'mine',
    ofDaemonSet: true,
  },
  {
    value: 'resources',
    set: { limits: { memory: '1Gi' } },
    at: 'container.resources.limits',
    is: { memory: '1Gi' },
    ofDaemonSet: true,
  },
]

/** A value outside the parts, the object with its effect, and where in it. */
export type ObjectRow = {
  values: JsonBody
  object: string
  at: string
  is: unknown
}

const caOf = (source: object) => [{ name: 'vault-ca', ...source }]

export const OBJECT_ROWS: readonly ObjectRow[] = [
  {
    values: { commonLabels: { team: 'a' } },
    object: 'ConfigMap transit-bridge-csi',
    at: 'metadata.labels',
    is: { team: 'a', 'app.kubernetes.io/part-of': 'transit-bridge' },
  },
  {
    values: { commonLabels: { team: 'a' }, csi: { podLabels: { team: 'b' } } },
    object: 'DaemonSet transit-bridge-csi',
    at: 'spec.template.metadata.labels',
    is: { team: 'b' },
  },
  {
    values: { csi: { audience: 'bao', runtime: { enabled: true, tokenExpirationSeconds: 900 } } },
    object: 'CSIDriver transit.transit-bridge.io',
    at: 'spec.tokenRequests',
    is: [{ audience: 'bao', expirationSeconds: 900 }],
  },
  {
    values: { csi: { runtime: { enabled: true, driverName: 'a.example.com' } } },
    object: 'CSIDriver a.example.com',
    at: 'spec.requiresRepublish',
    is: true,
  },
  {
    values: { csi: { runtime: { enabled: true, kubeletFolder: '/data/kubelet' } } },
    object: 'DaemonSet transit-bridge-csi',
    at: 'spec.template.spec.volumes',
    is: [
      { name: 'pods', hostPath: { path: '/data/kubelet/pods', type: 'Directory' } },
      {
        name: 'plugin',
        hostPath: {
          path: '/data/kubelet/plugins/transit.transit-bridge.io',
          type: 'DirectoryOrCreate',
        },
      },
      {
        name: 'registry',
        hostPath: { path: '/data/kubelet/plugins_registry', type: 'Directory' },
      },
      { name: 'state', hostPath: { path: '/run/transit-bridge', type: 'DirectoryOrCreate' } },
    ],
  },
  {
    values: { imagePullSecrets: [{ name: 'registry' }] },
    object: 'DaemonSet transit-bridge-kms-installer',
    at: 'spec.template.spec.imagePullSecrets',
    is: [{ name: 'registry' }],
  },
  {
    values: { vault: { caSecret: { name: 'vault-tls', key: 'ca-bundle.crt' } } },
    object: 'DaemonSet transit-bridge-csi',
    at: 'spec.template.spec.volumes',
    is: caOf({
      secret: {
        secretName: 'vault-tls',
        items: [{ key: 'ca-bundle.crt', path: 'vault-ca.pem' }],
      },
    }),
  },
  {
    values: { vault: { caConfigMap: { name: 'roots' } } },
    object: 'DaemonSet transit-bridge-kms-installer',
    at: 'spec.template.spec.volumes',
    is: caOf({ configMap: { name: 'roots', items: [{ key: 'ca.crt', path: 'vault-ca.pem' }] } }),
  },
  {
    values: { vault: { caConfigMap: { name: 'roots' } }, kms: { mode: 'daemonSet' } },
    object: 'DaemonSet transit-bridge-kms',
    at: 'spec.template.spec.containers.0.volumeMounts',
    is: [{ name: 'vault-ca', mountPath: '/etc/transit-bridge-ca', readOnly: true }],
  },
  {
    values: { kms: { updateStrategy: { type: 'OnDelete' } } },
    object: 'DaemonSet transit-bridge-kms-installer',
    at: 'spec.updateStrategy',
    is: { type: 'OnDelete' },
  },
  {
    values: { csi: { updateStrategy: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } } } },
    object: 'DaemonSet transit-bridge-csi',
    at: 'spec.updateStrategy',
    is: { rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
  },
  {
    values: { kms: { serviceAccount: { annotations: { note: 'a' } } } },
    object: 'ServiceAccount transit-bridge-kms',
    at: 'metadata.annotations',
    is: { note: 'a' },
  },
  {
    values: {
      extraObjects: [
        {
          apiVersion: 'v1',
          kind: 'ConfigMap',
          metadata: { name: 'of-{{ .Release.Name }}', namespace: '{{ .Release.Namespace }}' },
        },
      ],
    },
    object: 'ConfigMap of-transit-bridge',
    at: 'metadata.namespace',
    is: 'transit-bridge',
  },
  {
    values: {
      podMonitor: {
        enabled: true,
        interval: '15s',
        scrapeTimeout: '10s',
        labels: { release: 'prometheus' },
        cluster: 'prod',
        relabelings: [{ action: 'labeldrop', regex: 'pod' }],
        metricRelabelings: [{ action: 'drop', sourceLabels: ['__name__'], regex: 'nodejs_.*' }],
      },
    },
    object: 'PodMonitor transit-bridge-static-pods',
    at: 'spec.podMetricsEndpoints.0',
    is: {
      interval: '15s',
      scrapeTimeout: '10s',
      relabelings: [{}, {}, { targetLabel: 'cluster', replacement: 'prod' }, {}, { regex: 'pod' }],
      metricRelabelings: [{ action: 'drop' }],
    },
  },
  {
    values: { serviceMonitor: { enabled: true, labels: { release: 'prometheus' } } },
    object: 'ServiceMonitor transit-bridge',
    at: 'metadata.labels',
    is: { release: 'prometheus' },
  },
  {
    values: {
      serviceMonitor: {
        enabled: true,
        metricRelabelings: [{ action: 'lowercase', sourceLabels: ['a'], targetLabel: 'b' }],
      },
    },
    object: 'ServiceMonitor transit-bridge',
    at: 'spec.endpoints.0.metricRelabelings',
    is: [{ action: 'lowercase' }],
  },
  {
    values: { serviceMonitor: { enabled: true } },
    object: 'Service transit-bridge-kms-metrics',
    at: 'spec.selector',
    is: { 'app.kubernetes.io/managed-by': 'transit-bridge-installer' },
  },
  {
    values: { serviceMonitor: { enabled: true } },
    object: 'Service transit-bridge-metrics',
    at: 'spec',
    is: { clusterIP: 'None', ports: [{ name: 'metrics', targetPort: 'metrics' }] },
  },
  {
    values: {
      networkPolicy: { enabled: true },
      vault: { address: ['https://[2001:db8::1]', 'https://vault:8200', 'https://192.0.2.7'] },
    },
    object: 'NetworkPolicy transit-bridge-csi',
    at: 'spec.egress.0.ports',
    is: [{ port: 443 }, { port: 8200 }],
  },
  {
    values: { networkPolicy: { enabled: true }, vault: { address: 'https://[2001:db8::1]:8300' } },
    object: 'NetworkPolicy transit-bridge-csi',
    at: 'spec.egress.0.ports',
    is: [{ port: 8300 }],
  },
  {
    values: { networkPolicy: { enabled: true, vaultPorts: [9443] } },
    object: 'NetworkPolicy transit-bridge-csi',
    at: 'spec.egress.0.ports',
    is: [{ port: 9443 }],
  },
]
