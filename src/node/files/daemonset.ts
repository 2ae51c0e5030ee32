import type { NodeFilesOptions } from './node-files.ts'
import { renderPodSpec } from './pod.ts'

/** A DaemonSet for control-plane nodes, with a comment about its limitation. */
export function renderDaemonSet(options: NodeFilesOptions): string {
  return [
    '# Use this shape only if an API server that does not depend on this plugin is always available: in the management',
    '# cluster of hosted control planes, or with several API servers that never all stop at once. After a full outage no',
    '# DaemonSet starts before an API server is ready, and none is ready before the plugin runs. Otherwise, use --shape',
    '# static-pod.',
    'apiVersion: apps/v1',
    'kind: DaemonSet',
    'metadata:',
    '  name: transit-bridge-kms',
    '  namespace: kube-system',
    '  labels: {app.kubernetes.io/name: transit-bridge, app.kubernetes.io/component: kms}',
    'spec:',
    '  selector:',
    '    matchLabels: {app.kubernetes.io/name: transit-bridge, app.kubernetes.io/component: kms}',
    '  updateStrategy:',
    '    type: RollingUpdate',
    '    rollingUpdate: {maxUnavailable: 1}',
    '  template:',
    '    metadata:',
    '      labels: {app.kubernetes.io/name: transit-bridge, app.kubernetes.io/component: kms}',
    '    spec:',
    '      nodeSelector: {node-role.kubernetes.io/control-plane: ""}',
    '      tolerations:',
    '        - {operator: Exists}',
    ...renderPodSpec(options).map((line) => `      ${line}`),
    '',
  ].join('\n')
}
