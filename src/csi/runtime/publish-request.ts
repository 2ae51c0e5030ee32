import * as v from 'valibot'
import { isAbsolute, normalize } from 'node:path'
import type { MessageShape } from '@bufbuild/protobuf'

import { BridgeError } from '../../errors.ts'
import type { NodePublishVolumeRequestSchema } from '../../gen/csi/v1/csi_pb.ts'
import { quoted } from '../../text/quoted.ts'
import { readRole } from '../class/secret-provider-class.ts'
import { canonicalNamespace } from '../engine-place.ts'
import { DRIVER_PREFIX, readPod, TOKENS, type PodReference } from '../mount-request.ts'

/** PATH_MAX of Linux. */
const LONGEST_PATH = 4_096
/** The kubelet sends `csi-` and 64 hexadecimal digits (pkg/volume/csi/csi_plugin.go, makeVolumeHandle). */
const LONGEST_VOLUME_ID = 128
const ATTRIBUTES = ['role', 'vaultNamespace']
const NAMESPACE = v.pipe(v.string(), v.regex(/^[\w./-]{1,256}$/))

/** A volume with a socket: which pod it belongs to, and how the pod logs in. */
export interface RuntimeVolume {
  readonly id: string
  /** The folder that the kubelet mounts in the pod. */
  readonly targetPath: string
  readonly pod: PodReference
  /** The Vault role of the pod. */
  readonly role: string
  /** Undefined: vault.namespace. Empty: the root namespace. */
  readonly vaultNamespace?: string | undefined
}

/** A parsed but unverified NodePublishVolume. */
export interface PublishRequest {
  readonly volume: RuntimeVolume
  /** JSON of the tokens by audience. Undefined if the kubelet sent none. */
  readonly tokens: string | undefined
}

/** Parses a NodePublishVolume. Throws REQUEST_INVALID, which the kubelet shows as an event of the pod. */
export function readPublishRequest(
  request: MessageShape<typeof NodePublishVolumeRequestSchema>,
): PublishRequest {
  const id = readVolumeId(request.volumeId)
  const targetPath = readTargetPath(request.targetPath)
  requireUsage(request)
  const attributes = Object.assign(Object.create(null), request.volumeContext) as Attributes
  requireInline(attributes)
  refuseUnknown(attributes)
  return {
    volume: {
      id,
      targetPath,
      pod: readPod(attributes),
      role: requireRole(attributes),
      vaultNamespace: readNamespace(attributes),
    },
    // A pod author can write this attribute, which the kubelet overwrites unless it sends tokens in secrets. A key of a Secret
    // has no slash, so the tokens in secrets are always the kubelet's.
    tokens: request.secrets[TOKENS] ?? attributes[TOKENS],
  }
}

type Attributes = Readonly<Record<string, string>>

/** Throws REQUEST_INVALID. */
export function readVolumeId(id: string): string {
  if (id !== '' && id.length <= LONGEST_VOLUME_ID) return id
  throw invalid(`the volume id is ${id === '' ? 'missing' : 'too long'}`)
}

/** Throws REQUEST_INVALID. */
export function readTargetPath(path: string): string {
  if (path === '') throw invalid('the target path is missing')
  const isUsable =
    isAbsolute(path) &&
    normalize(path) === path &&
    path.length > 1 &&
    path.length <= LONGEST_PATH &&
    !path.includes('\0')
  if (isUsable) return path
  throw invalid('the target path is not a normalized absolute path')
}

function requireUsage({
  volumeCapability,
  readonly,
}: MessageShape<typeof NodePublishVolumeRequestSchema>): void {
  if (volumeCapability === undefined) throw invalid('the volume capability is missing')
  if (volumeCapability.accessType.case === 'block')
    throw invalid('a volume of this driver is a folder, not a block device')
  if (!readonly)
    throw invalid('the volume must be read-only; add readOnly: true next to driver in the pod')
}

function requireInline(attributes: Attributes): void {
  if (attributes[`${DRIVER_PREFIX}ephemeral`] === 'true') return
  throw invalid(
    'only inline volumes of pods are supported (spec.volumes[].csi), and the CSIDriver object needs podInfoOnMount: true and volumeLifecycleModes: [Ephemeral]',
  )
}

/** A misspelled attribute would otherwise be ignored. */
function refuseUnknown(attributes: Attributes): void {
  const unknown = Object.keys(attributes).find(
    (name) => !name.startsWith(DRIVER_PREFIX) && !ATTRIBUTES.includes(name),
  )
  if (unknown === undefined) return
  throw invalid(
    `volumeAttributes has no ${quoted(unknown)}; use role, and vaultNamespace if the Transit engine is in another Vault namespace`,
  )
}

function requireRole(attributes: Attributes): string {
  const role = readRole(attributes)
  if (role !== undefined) return role
  throw invalid(
    attributes['role'] === undefined
      ? 'volumeAttributes.role is missing: the Vault role with which the pod logs in'
      : `volumeAttributes.role ${quoted(attributes['role'])} is not a valid Vault name`,
  )
}

function readNamespace({ vaultNamespace }: Attributes): string | undefined {
  if (vaultNamespace === undefined) return undefined
  if (v.is(NAMESPACE, vaultNamespace)) return canonicalNamespace(vaultNamespace)
  throw invalid(
    `volumeAttributes.vaultNamespace ${quoted(vaultNamespace)} is not a valid Vault namespace`,
  )
}

function invalid(message: string): BridgeError {
  return new BridgeError('REQUEST_INVALID', message)
}
