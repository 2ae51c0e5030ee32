/** Patches with which the kubelet refuses the static pod, and what install-node says. */
export const REFUSED_PATCHES: readonly (readonly [patch: string, message: RegExp])[] = [
  ['spec: {volumes: [{name: socket, hostPath: {path: /x}}]}', /two entries with the name socket/],
  [
    'spec: {volumes: [{name: v, emptyDir: {}}, {name: v, emptyDir: {}}]}',
    /two entries with the name v; choose another name/,
  ],
  [
    'spec: {volumes: [{name: V_, emptyDir: {}}]}',
    /volumes\[\d\]\.name must be a name of at most 63/,
  ],
  ['spec: {volumes: [{emptyDir: {}}]}', /volumes\[\d\]\.name is missing/],
  ['spec: {volumes: [{name: v, hostPath: {}}]}', /hostPath\.path is missing/],
  ['spec: {volumes: [{name: v, hostPath: /x}]}', /hostPath must be a mapping/],
  ['spec: {volumes: [{name: v, hostPath: {path: /x/../y}}]}', /must not contain a folder named/],
  [
    'spec: {volumes: [{name: v, hostPath: {path: /x, type: Dir}}]}',
    /type must be a type of hostPath/,
  ],
  ['spec: {volumes: [{name: v, hostPath: {path: /x}, emptyDir: {}}]}', /must not have both/],
  ['spec: {volumes: [{name: v, emptyDir: {sizeLimit: lots}}]}', /sizeLimit must be an amount/],
  [
    'spec: {hostAliases: [{ip: vault, hostnames: [a]}]}',
    /hostAliases\[0\]\.ip must be an IP address/,
  ],
  [
    'spec: {hostAliases: [{ip: 192.0.2.1, hostnames: [a_b]}]}',
    /hostnames\[0\] must be a host name/,
  ],
  ['spec: {hostAliases: a}', /hostAliases must be a list/],
  ['spec: {dnsPolicy: None}', /must have dnsConfig\.nameservers with dnsPolicy None/],
  ['spec: {dnsPolicy: Cluster}', /dnsPolicy must be ClusterFirst/],
  ['spec: {dnsConfig: {nameservers: [vault]}}', /nameservers\[0\] must be an IP address/],
  ['spec: {dnsConfig: {nameservers: [::1, ::2, ::3, ::4]}}', /must not have more than 3 entries/],
  ['spec: {dnsConfig: {searches: [a b]}}', /searches\[0\] must be a domain/],
  ['metadata: {labels: {a: 5}}', /metadata\.labels\.a must be a text/],
  ['metadata: {annotations: {a: true}}', /metadata\.annotations\.a must be a text/],
  ...ofContainer([
    [
      'volumeMounts: [{name: lost, mountPath: /x}]',
      /refers to the volume lost, which spec\.volumes/,
    ],
    [
      'volumeMounts: [{name: socket, mountPath: /run/tb}]',
      /two entries for \/run\/tb; choose another/,
    ],
    ['volumeMounts: [{name: socket, mountPath: /x, subPath: ../y}]', /subPath must not contain/],
    ['volumeMounts: [{name: socket, mountPath: /x, subPath: /y}]', /subPath must not start with/],
    [
      'volumeMounts: [{name: socket, mountPath: /x, mountPropagation: Both}]',
      /mountPropagation must be None/,
    ],
    ['env: [{name: A=B}]', /env\[1\]\.name must be the name of a variable, without =/],
    ['env: [{name: A, value: 5}]', /env\[1\]\.value must be a text/],
    [
      'env: [{name: A, value: b, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}]',
      /must not have both value and valueFrom/,
    ],
    [
      'env: [{name: A, valueFrom: {fieldRef: {fieldPath: spec.node}}}]',
      /fieldPath must be a field/,
    ],
    [
      'env: [{name: A, valueFrom: {resourceFieldRef: {resource: memory}}}]',
      /resource must be a resource, such as limits\.memory/,
    ],
    ['args: [5]', /args\[3\] must be a text/],
    ['resources: {limits: {memory: lots}}', /limits\.memory must be an amount, such as 256Mi/],
    ['resources: {limits: {memory: "-1"}}', /limits\.memory must be an amount/],
    [
      'resources: {limits: {memory: 64Mi}}',
      /requests 128Mi of memory, which is more than the limit 64Mi; set both/,
    ],
    ['resources: {limits: {cpu: 10m}}', /requests 20m of cpu, which is more than the limit 10m/],
    [
      'resources: {limits: {memory: 1e6}}',
      /requests 128Mi of memory, which is more than the limit/,
    ],
    ['resources: {requests: {memory: 1Gi}}', /requests 1Gi of memory, which is more than/],
    ['resources: {limits: {disk: 1}}', /limits\.disk cannot be set/],
    ['resources: {claims: [{name: a}]}', /resources\.claims cannot be set/],
  ]),
]

/** Patches that are not refused, although they look like one that is. */
export const ACCEPTED_PATCHES: readonly string[] = [
  'spec: {volumes: [{name: v}]}',
  'spec: {hostAliases: [{ip: "2001:db8::10", hostnames: [vault.example.com]}]}',
  'spec: {dnsPolicy: None, dnsConfig: {nameservers: [192.0.2.1], searches: [_a.example.com.]}}',
  ...[
    'volumeMounts: [{name: socket, mountPath: /run/tb/x, subPath: a/..b}]',
    'env: [{name: A, value: ""}, {name: A, value: b}, {name: a.b-c}]',
    'resources: {requests: {cpu: 0.5, memory: 1e6}, limits: {cpu: 500m, memory: 1G}}',
    'resources: {limits: {memory: 1Ei, cpu: 1}, requests: {memory: 0.5E}}',
  ].map(inContainer),
]

function ofContainer<Rest extends readonly unknown[]>(
  rows: readonly (readonly [fields: string, ...rest: Rest])[],
): (readonly [string, ...Rest])[] {
  return rows.map(([fields, ...rest]) => [inContainer(fields), ...rest])
}

function inContainer(fields: string): string {
  return `spec: {containers: [{${fields}}]}`
}
