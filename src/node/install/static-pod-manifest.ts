import { createHash } from 'node:crypto'
import { parseDocument } from 'yaml'

import { BridgeError } from '../../errors.ts'
import type { NodeFilesOptions } from '../files/node-files.ts'
import { renderStaticPod } from '../files/static-pod.ts'
import { findPodFault } from './pod-check.ts'
import { patchPod, type PodPatch } from './pod-patch.ts'

/** The only manifest that the installer writes or removes. */
export const MANIFEST_NAME = 'transit-bridge-kms.yaml'

/**
 * The static pod as the installer writes it: with a digest of its configuration, so that the kubelet restarts it when that
 * changes, and with the metrics port, which a PodMonitor selects. Throws CONFIG_INVALID for a patch with which the kubelet would
 * refuse the pod.
 */
export function renderManifest(
  options: NodeFilesOptions,
  configuration: string,
  patch?: PodPatch,
): string {
  const pod = parseDocument(renderStaticPod(options))
  const digest = createHash('sha256').update(configuration).digest('hex').slice(0, 16)
  pod.setIn(['metadata', 'annotations', 'transit-bridge.io/configuration'], digest)
  pod.setIn(['metadata', 'labels', 'app.kubernetes.io/managed-by'], 'transit-bridge-installer')
  if (options.admin !== undefined) {
    const ports = pod.createNode([{ name: 'metrics', containerPort: options.admin.port }])
    pod.setIn(['spec', 'containers', 0, 'ports'], ports)
  }
  if (patch !== undefined) {
    patchPod(pod, patch)
    const fault = findPodFault(pod.toJS())
    if (fault !== undefined) throw new BridgeError('CONFIG_INVALID', `--pod-patch: ${fault}`)
  }
  return `# Written by transit-bridge install-node, which undoes changes.\n${pod.toString({ lineWidth: 0 })}`
}
