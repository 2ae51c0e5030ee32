import { foldersOf, type NodeFilesOptions } from './node-files.ts'

/** Lines of the pod's spec that static pod and DaemonSet share, without indentation. */
export function renderPodSpec(options: NodeFilesOptions): readonly string[] {
  const folders = foldersOf(options)
  return [
    'hostNetwork: true            # it runs before any network plugin does',
    'priorityClassName: system-node-critical',
    'automountServiceAccountToken: false',
    'securityContext:',
    '  runAsUser: 0               # the files of the host and the socket belong to root',
    '  runAsGroup: 0',
    '  seccompProfile: {type: RuntimeDefault}',
    'containers:',
    '  - name: kms',
    `    image: ${options.image}`,
    '    imagePullPolicy: IfNotPresent   # after a power cut there may be no registry',
    `    args: [kms, --config, ${JSON.stringify(options.configFile)}]`,
    ...renderProbes(options).map((line) => `    ${line}`),
    '    securityContext:',
    '      readOnlyRootFilesystem: true',
    '      allowPrivilegeEscalation: false',
    options.hasSocketGroup === true
      ? '      capabilities: {drop: [ALL], add: [CHOWN]}   # for kms.socketGroup'
      : '      capabilities: {drop: [ALL]}',
    '    resources:',
    '      requests: {cpu: 20m, memory: 128Mi}',
    '      limits: {memory: 256Mi}',
    '    volumeMounts:',
    `      - {name: socket, mountPath: ${JSON.stringify(options.socketFolder)}}`,
    ...folders.map(
      (folder, index) =>
        `      - {name: files-${index}, mountPath: ${JSON.stringify(folder)}, readOnly: true}`,
    ),
    'volumes:',
    '  - name: socket',
    `    hostPath: {path: ${JSON.stringify(options.socketFolder)}, type: DirectoryOrCreate}`,
    ...folders.flatMap((folder, index) => [
      `  - name: files-${index}`,
      `    hostPath: {path: ${JSON.stringify(folder)}, type: Directory}`,
    ]),
  ]
}

/** /livez never asks Vault: a probe that did would make an outage of Vault a restart of the plugin. */
function renderProbes({ admin }: NodeFilesOptions): readonly string[] {
  if (admin === undefined) return ['# No probes: admin.listen is none.']
  // 0.0.0.0 and :: are where one listens, not where one asks.
  const host = admin.host === '0.0.0.0' || admin.host === '::' ? '127.0.0.1' : admin.host
  const get = `httpGet: {host: ${JSON.stringify(host)}, port: ${admin.port}, path: /livez}`
  return [
    'startupProbe:',
    `  ${get}`,
    '  periodSeconds: 1',
    '  failureThreshold: 30',
    'livenessProbe:',
    `  ${get}`,
    '  periodSeconds: 10',
    '  failureThreshold: 3',
  ]
}
