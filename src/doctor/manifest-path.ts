import { existsSync } from 'node:fs'
import { join } from 'node:path'

/** Of kubeadm, RKE2, and kops. */
const MANIFESTS = [
  '/etc/kubernetes/manifests/kube-apiserver.yaml',
  '/var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml',
  '/etc/kubernetes/manifests/kube-apiserver.manifest',
] as const
/** Where the static pod manifest of kube-apiserver is, or would be with kubeadm. */
export function findManifest(root = '/'): string {
  const candidates = MANIFESTS.map((path) => join(root, path))
  return candidates.find((path) => existsSync(path)) ?? candidates[0] ?? ''
}
