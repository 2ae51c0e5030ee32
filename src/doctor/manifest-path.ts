import { existsSync } from 'node:fs'
import { join } from 'node:path'

import { unknown, type Finding } from './finding.ts'

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

/** A node has one kubelet: if several places have a manifest, the one that was chosen may be a leftover. */
export function checkManifestChoice(root = '/'): readonly Finding[] {
  const [chosen, ...others] = MANIFESTS.map((path) => join(root, path)).filter(existsSync)
  if (chosen === undefined || others.length === 0) return []
  const why = `${chosen} was checked, but ${others.join(' and ')} exists, too`
  return [unknown('api server', why, 'pass the one that the kubelet runs with --manifest')]
}
