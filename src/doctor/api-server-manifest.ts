import * as v from 'valibot'

import { readYaml } from '../yaml/source.ts'

const text = v.optional(v.string(), '')
const texts = v.optional(v.array(v.string()), [])
const Manifest = v.object({
  spec: v.object({
    containers: v.array(
      v.object({
        name: text,
        command: texts,
        args: texts,
        volumeMounts: v.optional(v.array(v.object({ name: text, mountPath: text })), []),
      }),
    ),
    volumes: v.optional(
      v.array(v.object({ name: text, hostPath: v.optional(v.object({ path: text })) })),
      [],
    ),
  }),
})

/** The parts of a static pod of kube-apiserver that encryption depends on. */
export interface ApiServerManifest {
  /** By name, without the dashes. */
  readonly flags: ReadonlyMap<string, string>
  /** The host's path for a path of the container; undefined if it is not on the host. */
  readonly hostPathOf: (path: string) => string | undefined
  /** Whether a path of the container is itself a mount, and not inside a mounted folder. */
  readonly isMountPoint: (path: string) => boolean
}

/** Undefined for what is not a static pod of kube-apiserver. */
export function readManifest(yaml: string): ApiServerManifest | undefined {
  const source = readYaml(yaml)
  const parsed = v.safeParse(Manifest, 'value' in source ? source.value : undefined)
  if (!parsed.success) return undefined
  const { containers, volumes } = parsed.output.spec
  const container = containers.find(({ name }) => name === 'kube-apiserver') ?? containers[0]
  if (container === undefined) return undefined
  const words = [...container.command, ...container.args]
  const flags = words.flatMap((word) => {
    const [, name, value] = /^--?([a-z0-9-]+)(?:=([^]*))?$/.exec(word) ?? []
    return name === undefined ? [] : [[name, value ?? 'true'] as const]
  })
  const mounts = container.volumeMounts.flatMap(({ name, mountPath }) => {
    const host = volumes.find((volume) => volume.name === name)?.hostPath?.path
    return host === undefined ? [] : [{ inside: trimEnd(mountPath), host: trimEnd(host) }]
  })
  return {
    flags: new Map(flags),
    hostPathOf: (path) => translate(path, mounts),
    isMountPoint: (path) => mounts.some(({ inside }) => inside === path),
  }
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

function trimEnd(path: string): string {
  return path.replace(/\/+$/, '')
}
