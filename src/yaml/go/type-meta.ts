export interface TypeMeta {
  readonly kind: string
  readonly apiVersion: string
}

/**
 * Whether an object has this kind and apiVersion, or omits them. Kubernetes looks for both without regard to case
 * before it decodes the rest (apimachinery: pkg/runtime/serializer/json/meta.go).
 */
export function hasTypeMeta(value: unknown, wanted: TypeMeta): boolean {
  return (Object.keys(wanted) as (keyof TypeMeta)[]).every((name) => {
    const found = findField(value, name)
    return found === '' || found === wanted[name]
  })
}

/** The last field of this name in the order of JSON that Go writes: sorted. */
function findField(value: unknown, name: string): unknown {
  if (typeof value !== 'object' || value === null) return ''
  const found = Object.entries(value)
    .filter(([key, each]) => key.toLowerCase() === name.toLowerCase() && each !== null)
    .toSorted(([one], [other]) => (one < other ? -1 : 1))
  return found.at(-1)?.[1] ?? ''
}
