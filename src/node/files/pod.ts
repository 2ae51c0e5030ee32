import { dirname } from 'node:path'

import { readFoldersOf, writtenFoldersOf, type NodeFilesOptions } from './node-files.ts'
import { permissionOptions } from './permission-options.ts'

/** The lines of the pod spec that the static pod and the DaemonSet share, without indentation. */
export function renderPodSpec(options: NodeFilesOptions): readonly string[] {
  const folders = readFoldersOf(options)
  const [socketFolder, stateFolder] = writtenFoldersOf(options).map((folder) =>
    JSON.stringify(folder),
  )
  return [
    'hostNetwork: true            # the plugin starts before any CNI plugin',
    'priorityClassName: system-node-critical',
    'automountServiceAccountToken: false',
    'securityContext:',
    '  runAsUser: 0               # root owns the files of the host and the socket',
    '  runAsGroup: 0',
    '  seccompProfile: {type: RuntimeDefault}',
    ...(options.selinuxType === undefined
      ? []
      : [`  seLinuxOptions: {type: ${options.selinuxType}}   # may use files of the host`]),
    'containers:',
    '  - name: kms',
    `    image: ${options.image}`,
    '    imagePullPolicy: IfNotPresent   # after a power cut the registry may be unavailable',
    `    args: [kms, --config, ${JSON.stringify(options.configFile)}]`,
    ...renderEnvironment(options).map((line) => `    ${line}`),
    ...renderProbes(options).map((line) => `    ${line}`),
    '    securityContext:',
    '      readOnlyRootFilesystem: true',
    '      allowPrivilegeEscalation: false',
    options.socketGroup !== undefined
      ? '      capabilities: {drop: [ALL], add: [CHOWN]}   # for kms.socketGroup'
      : '      capabilities: {drop: [ALL]}',
    '    resources:',
    '      requests: {cpu: 20m, memory: 128Mi}',
    '      limits: {memory: 256Mi}',
    '    volumeMounts:',
    `      - {name: socket, mountPath: ${socketFolder}}`,
    ...mountState(stateFolder).map((line) => `      ${line}`),
    ...folders.map(
      (folder, index) =>
        `      - {name: files-${index}, mountPath: ${JSON.stringify(folder)}, readOnly: true}`,
    ),
    'volumes:',
    '  - name: socket',
    `    hostPath: {path: ${socketFolder}, type: DirectoryOrCreate}`,
    ...hostState(stateFolder).map((line) => `  ${line}`),
    ...folders.flatMap((folder, index) => [
      `  - name: files-${index}`,
      `    hostPath: {path: ${JSON.stringify(folder)}, type: ${folderType(folder, options)}}`,
    ]),
  ]
}

/** The rights of Node.js; the entry point of the image is the same for all commands. */
function renderEnvironment(options: NodeFilesOptions): readonly string[] {
  const value = permissionOptions(options)
  if (value === undefined) return []
  return ['env:', '  - name: NODE_OPTIONS', `    value: ${JSON.stringify(value)}`]
}

/** The folder of the sealed file, which must survive a restart of the node. */
function mountState(folder: string | undefined): readonly string[] {
  if (folder === undefined) return []
  return [`- {name: state, mountPath: ${folder}}`]
}

function hostState(folder: string | undefined): readonly string[] {
  if (folder === undefined) return []
  return ['- name: state', `  hostPath: {path: ${folder}, type: DirectoryOrCreate}`]
}

/** A pod with a folder that does not exist is not started; without its node key the plugin is. */
function folderType(folder: string, { nodeKeyFile }: NodeFilesOptions): string {
  const isOptional = nodeKeyFile !== undefined && dirname(nodeKeyFile) === folder
  return isOptional ? 'DirectoryOrCreate' : 'Directory'
}

/** The program in the image, without the entry point's flags, which only servers need. */
const PROGRAM = ['/usr/bin/node', '/app/dist/transit-bridge.cjs']

/**
 * A probe uses the plugin's socket, because another process can block or occupy a port. It does not depend on Vault, whose
 * outage must not restart the plugin (docs/design.md, "Probes").
 */
function renderProbes({ socket }: NodeFilesOptions): readonly string[] {
  const command = JSON.stringify([...PROGRAM, 'probe', '--socket', socket])
  const exec = `exec: {command: ${command}}`
  return [
    'startupProbe:',
    `  ${exec}`,
    '  periodSeconds: 1',
    '  timeoutSeconds: 5',
    '  failureThreshold: 30',
    'livenessProbe:',
    `  ${exec}`,
    '  periodSeconds: 20',
    '  timeoutSeconds: 5',
    '  failureThreshold: 3',
  ]
}
