// The schemas of values that become part of the chart's pods and monitors. Kubernetes checks their contents; these
// schemas find wrong types and wrong names before anything is installed.

export interface Schema {
  readonly properties?: Record<string, Schema>
  readonly [keyword: string]: unknown
}

const text: Schema = { type: 'string' }
const anyMapping: Schema = { type: 'object' }
const textMapping: Schema = { type: 'object', additionalProperties: text }
const labels: Schema = {
  type: 'object',
  // https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
  propertyNames: {
    pattern: '^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$',
  },
  additionalProperties: {
    type: 'string',
    pattern: '^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$',
  },
}
const named = (others: Record<string, Schema> | undefined, required: readonly string[] = []) =>
  listOf({
    type: 'object',
    ...(others === undefined ? {} : { additionalProperties: false }),
    required: ['name', ...required],
    properties: { name: { type: 'string', minLength: 1 }, ...others },
  })
const existing = (description: string): Schema => ({
  type: 'object',
  description,
  additionalProperties: false,
  properties: {
    name: { type: 'string', pattern: '^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$' },
    key: { type: 'string', pattern: '^[A-Za-z0-9._-]+$' },
  },
})

function listOf(items: Schema): Schema {
  return { type: 'array', items }
}

function probe(others: Record<string, Schema> = {}): Schema {
  const count = { type: 'integer', minimum: 1 }
  return {
    type: 'object',
    additionalProperties: false,
    properties: {
      initialDelaySeconds: { type: 'integer', minimum: 0 },
      periodSeconds: count,
      timeoutSeconds: count,
      failureThreshold: count,
      ...others,
    },
  }
}

const endsPod = { terminationGracePeriodSeconds: { type: 'integer', minimum: 1 } }

/** Values that both parts have. */
export const partValues: Record<string, Schema> = {
  affinity: anyMapping,
  priorityClassName: { type: 'string', pattern: '^([a-z0-9]([a-z0-9.-]*[a-z0-9])?)?$' },
  updateStrategy: {
    type: 'object',
    additionalProperties: false,
    properties: { type: { enum: ['RollingUpdate', 'OnDelete'] }, rollingUpdate: anyMapping },
  },
  privileged: { type: 'boolean' },
  podSecurityContext: anyMapping,
  securityContext: anyMapping,
  podLabels: labels,
  podAnnotations: textMapping,
  extraEnv: named({ value: text, valueFrom: anyMapping }),
  extraArgs: listOf(text),
  extraVolumes: named(undefined),
  extraVolumeMounts: named(
    {
      mountPath: { type: 'string', pattern: '^/' },
      readOnly: { type: 'boolean' },
      recursiveReadOnly: text,
      subPath: text,
      subPathExpr: text,
      mountPropagation: text,
    },
    ['mountPath'],
  ),
  hostAliases: listOf({
    type: 'object',
    additionalProperties: false,
    required: ['ip', 'hostnames'],
    properties: {
      ip: { type: 'string', minLength: 1 },
      hostnames: { type: 'array', minItems: 1, items: text },
    },
  }),
  dnsPolicy: { enum: ['', 'ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None'] },
  dnsConfig: {
    type: 'object',
    additionalProperties: false,
    properties: {
      nameservers: listOf(text),
      searches: listOf(text),
      options: named({ value: text }),
    },
  },
  startupProbe: probe(endsPod),
  livenessProbe: probe(endsPod),
  readinessProbe: probe({ successThreshold: { type: 'integer', minimum: 1 } }),
}

/** Part of the names of objects, such as Services, and of labels. */
function objectName(maxLength: number): Schema {
  return { type: 'string', maxLength, pattern: '^([a-z]([a-z0-9-]*[a-z0-9])?)?$' }
}

const duration = { type: 'string', pattern: '^[0-9]+(ms|s|m|h|d|w|y)$' }

const monitor: Schema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    enabled: { type: 'boolean' },
    interval: duration,
    scrapeTimeout: { type: 'string', pattern: '^([0-9]+(ms|s|m|h|d|w|y))?$' },
    labels,
    cluster: text,
    relabelings: listOf(anyMapping),
    metricRelabelings: listOf(anyMapping),
  },
}

/** Other values, by their path. */
export const otherValues: readonly (readonly [path: readonly string[], schema: Schema])[] = [
  [['nameOverride'], objectName(63)],
  [['fullnameOverride'], objectName(50)],
  [['commonLabels'], labels],
  [
    ['extraObjects'],
    listOf({ anyOf: [{ type: 'object', required: ['apiVersion', 'kind'] }, text] }),
  ],
  [['vault', 'caSecret'], existing("A Secret with Vault's CA certificates.")],
  [['vault', 'caConfigMap'], existing("A ConfigMap with Vault's CA certificates.")],
  [['kms', 'staticPod', 'resources'], anyMapping],
  [['kms', 'serviceAccount', 'create'], { type: 'boolean' }],
  [['csi', 'serviceAccount', 'create'], { type: 'boolean' }],
  [['podMonitor'], monitor],
  [['prometheusRule', 'labels'], labels],
  [['serviceMonitor'], monitor],
  [['networkPolicy', 'vaultPorts'], listOf({ type: 'integer', minimum: 1, maximum: 65_535 })],
]

/** Values that templates need. All have a default, even for releases of older charts; only null removes one. */
export const requiredValues: readonly (readonly [
  path: readonly string[],
  names: readonly string[],
])[] = [
  [
    [],
    [
      'image',
      'vault',
      'transit',
      'kms',
      'csi',
      'podMonitor',
      'prometheusRule',
      'grafanaDashboard',
      'networkPolicy',
    ],
  ],
  [['image'], ['repository', 'pullPolicy']],
  [['vault'], ['address', 'timeout', 'clientCertificate']],
  [['transit'], ['mount', 'key']],
  [
    ['kms'],
    [
      'mode',
      'socketFolder',
      'auth',
      'token',
      'settings',
      'logLevel',
      'adminPort',
      'staticPod',
      'serviceAccount',
    ],
  ],
  [
    ['kms', 'auth'],
    ['method', 'role', 'files'],
  ],
  [
    ['kms', 'token'],
    ['audience', 'expirationSeconds'],
  ],
  [
    ['kms', 'staticPod'],
    ['manifestFolder', 'hostFolder', 'interval'],
  ],
  [
    ['csi'],
    [
      'enabled',
      'audience',
      'auth',
      'rules',
      'settings',
      'providersFolder',
      'logLevel',
      'adminPort',
      'serviceAccount',
    ],
  ],
  [['csi', 'auth'], ['method']],
  [['prometheusRule'], ['runbookUrl', 'alertLabels', 'alerts', 'rotationOverdueAfter']],
  [['grafanaDashboard'], ['label']],
]
