import type { NodeFilesOptions } from './node-files.ts'
import { renderPodSpec } from './pod.ts'

/** A static pod manifest: the kubelet starts it without any API server, also after a power cut. */
export function renderStaticPod(options: NodeFilesOptions): string {
  return [
    '# /etc/kubernetes/manifests/transit-bridge-kms.yaml, on every control-plane node, next to kube-apiserver.yaml.',
    '# A static pod cannot refer to a ServiceAccount, ConfigMap or Secret: everything it needs is in files of the host. Another',
    '# program must renew the token file; the token lifetime must exceed the longest outage that the control plane survives.',
    '# On k3s and RKE2 use --shape k3s or rke2: they read Secrets before their kubelet starts any pod.',
    '# kube-apiserver.yaml must mount the folder of the socket at the same path, as a hostPath volume.',
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
