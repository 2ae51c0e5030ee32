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

/** What a static pod of kube-apiserver says that encryption depends on. */
export interface ApiServerManifest {
  /** By name, without the dashes. */
  readonly flags: ReadonlyMap<string, string>
  /** The place on the host of a path that the container sees; undefined when it is not one of the host's. */
  readonly hostPathOf: (path: string) => string | undefined
}

/** Undefined for what is no static pod of kube-apiserver. */
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
  return { flags: new Map(flags), hostPathOf: (path) => translate(path, mounts) }
}

interface Mount {
  readonly inside: string
  readonly host: string
}

/** The mount that is nearest to the path wins, as in the container. */
function translate(path: string, mounts: readonly Mount[]): string | undefined {
  const [nearest] = mounts
    .filter(({ inside }) => path === inside || path.startsWith(`${inside}/`))
    .toSorted((one, other) => other.inside.length - one.inside.length)
  return nearest && nearest.host + path.slice(nearest.inside.length)
}

function trimEnd(path: string): string {
  return path.replace(/\/+$/, '')
}
