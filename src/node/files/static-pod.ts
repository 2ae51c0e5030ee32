import type { NodeFilesOptions } from './node-files.ts'
import { renderPodSpec } from './pod.ts'

/** A static pod manifest: the kubelet starts it without any API server, so it is there after a power cut. */
export function renderStaticPod(options: NodeFilesOptions): string {
  return [
    '# /etc/kubernetes/manifests/transit-bridge-kms.yaml, on every control-plane node, beside kube-apiserver.yaml.',
    '# A static pod cannot name a ServiceAccount, ConfigMap or Secret: all that it needs are files of the host. Something',
    '# must keep the token file fresh; its life must outlast the longest outage that the control plane has to survive.',
    '# Not for k3s and RKE2: they read Secrets before their kubelet starts any pod; use --shape systemd there.',
    '# kube-apiserver.yaml needs the folder of the socket as a hostPath volume, too, mounted at the same path.',
    'apiVersion: v1',
    'kind: Pod',
    'metadata:',
    '  name: transit-bridge-kms',
    '  namespace: kube-system',
    '  labels: {app.kubernetes.io/name: transit-bridge, app.kubernetes.io/component: kms}',
    'spec:',
    ...renderPodSpec(options).map((line) => `  ${line}`),
    '',
  ].join('\n')
}
