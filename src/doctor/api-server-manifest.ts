import { posix } from 'node:path'

import { readAsGo } from '../yaml/go/read.ts'
import { decodeShape, list, pointer, raw, struct, text, type Shape } from '../yaml/go/shape.ts'
import { findFlags } from './api-server-flags.ts'
import { trimSlashes } from '../text/slashes.ts'

const Container = struct({
  name: text,
  command: list(text),
  args: list(text),
  env: list(struct({ name: text, value: text, valueFrom: raw })),
  volumeMounts: list(struct({ name: text, mountPath: text, subPath: text, subPathExpr: text })),
  securityContext: raw,
})
const Manifest = struct({
  kind: text,
  apiVersion: text,
  spec: struct({
    containers: list(Container),
    securityContext: raw,
    volumes: list(struct({ name: text, hostPath: pointer(struct({ path: text })) })),
  }),
})
type Decoded<Of> = Of extends Shape<infer Value> ? Value : never
type ContainerPart = Decoded<typeof Container>

/** The parts of a static pod of kube-apiserver that encryption depends on. */
export interface ApiServerManifest {
  /** By name, without the dashes. */
  readonly flags: ReadonlyMap<string, string>
  /** The host's path for a path of the container; undefined if it is not on the host. */
  readonly hostPathOf: (path: string) => string | undefined
  /** The user id that its container runs as, if that is not root. */
  readonly runAsUser?: number | undefined
  /** Whether a path of the container is itself a mount, and not inside a mounted folder. */
  readonly isMountPoint: (path: string) => boolean
}

/**
 * Reads a manifest as the kubelet does (kubernetes: pkg/kubelet/config/common.go, tryDecodeSinglePod), without its check
 * of the rest of the pod. Undefined for what is not a static pod of kube-apiserver.
 */
export function readManifest(manifest: string): ApiServerManifest | undefined {
  const source = readAsGo(manifest, { json: true, strict: false })
  const decoded = 'value' in source ? decodeShape(Manifest, source.value) : undefined
  if (decoded === undefined || 'fault' in decoded) return undefined
  const { kind, apiVersion, spec } = decoded.value
  if (kind !== 'Pod' || apiVersion !== 'v1') return undefined
  for (const container of spec.containers) {
    const flags = findFlags(listWords(container), container.name === 'kube-apiserver')
    const runAsUser = readUser(container.securityContext) ?? readUser(spec.securityContext)
    if (flags !== undefined) return { ...describe(flags, container, spec.volumes), runAsUser }
  }
  return undefined
}

function readUser(context: unknown): number | undefined {
  if (typeof context !== 'object' || context === null || !('runAsUser' in context)) return undefined
  return typeof context.runAsUser === 'number' ? context.runAsUser : undefined
}

function describe(
  flags: ReadonlyMap<string, string>,
  { volumeMounts }: ContainerPart,
  volumes: Decoded<typeof Manifest>['spec']['volumes'],
): ApiServerManifest {
  const mounts = volumeMounts.flatMap(({ name, mountPath, subPath, subPathExpr }) => {
    const host = volumes.find((volume) => volume.name === name)?.hostPath?.path
    if (host === undefined || subPathExpr !== '') return []
    return [
      {
        inside: trimSlashes(posix.normalize(mountPath)),
        host: trimSlashes(posix.join(host, subPath)),
      },
    ]
  })
  return {
    flags,
    hostPathOf: (path) => translate(posix.normalize(path), mounts),
    isMountPoint: (path) => mounts.some(({ inside }) => inside === posix.normalize(path)),
  }
}

/** A name without an end is not searched for one at each of its characters. */
const REFERENCE = /\$(?:\$|\(([^$()]*)\))/g
/** Variables may contain others, so their text could grow without a limit. */
const MAX_EXPANDED_LENGTH = 1024 * 1024

/**
 * Its command and arguments, with the variables that have a value in the manifest (kubernetes:
 * third_party/forked/golang/expansion).
 */
function listWords({ command, args, env }: ContainerPart): readonly string[] {
  const values = new Map<string, string>()
  let room = MAX_EXPANDED_LENGTH
  const valueOf = (name: string) => {
    const value = values.get(name)
    room -= value?.length ?? 0
    return room < 0 ? undefined : value
  }
  const expand = (word: string) =>
    word.replaceAll(REFERENCE, (reference, name?: string) =>
      name === undefined ? '$' : (valueOf(name) ?? reference),
    )
  for (const { name, value, valueFrom } of env) {
    if ((valueFrom ?? null) === null) values.set(name, expand(value))
  }
  return [...command, ...args].map(expand)
}

interface Mount {
  readonly inside: string
  readonly host: string
}

/** The innermost mount applies, as in the container. */
function translate(path: string, mounts: readonly Mount[]): string | undefined {
  const [nearest] = mounts
    .filter(({ inside }) => path === inside || path.startsWith(`${inside}/`))
    .toSorted((one, other) => other.inside.length - one.inside.length)
  return nearest && nearest.host + path.slice(nearest.inside.length)
}
