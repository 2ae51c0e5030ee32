import { isMap, isSeq, parseDocument, type Document } from 'yaml'

import { BridgeError } from '../../errors.ts'

type Fields = Readonly<Record<string, unknown>>

/** What an administrator may add to the static pod. The rest belongs to the installer, or does not apply to a static pod. */
const POD_FIELDS = new Set([
  'hostAliases',
  'dnsPolicy',
  'dnsConfig',
  'priorityClassName',
  'securityContext',
  'volumes',
])
const CONTAINER_FIELDS = new Set([
  'env',
  'args',
  'volumeMounts',
  'resources',
  'securityContext',
  'startupProbe',
  'livenessProbe',
])
const METADATA_FIELDS = new Set(['labels', 'annotations'])
/** A static pod cannot refer to other objects (https://kubernetes.io/docs/tasks/configure-pod-container/static-pod/). */
const HOST_VOLUMES = new Set(['name', 'hostPath', 'emptyDir'])

/** Additions to the static pod, as parts of a Pod. */
export interface PodPatch {
  readonly metadata: Fields
  readonly spec: Fields
  readonly container: Fields
}

/**
 * Reads a patch: a Pod with the fields to add, and at most one container, whose name does not matter. Throws CONFIG_INVALID
 * for a field that the static pod cannot have.
 */
export function parsePodPatch(text: string): PodPatch {
  const document = parseDocument(text)
  if (document.errors.length > 0) throw invalid('it is not valid YAML')
  const { metadata, spec, ...others } = fieldsOf(document.toJS(), 'the document')
  refuseOthers(others, new Set(), '')
  const { containers, ...podSpec } = fieldsOf(spec, 'spec')
  const [container, ...further] = itemsOf(containers, 'spec.containers')
  if (further.length > 0) throw invalid('spec.containers has more than one entry')
  const { name: _name, ...containerFields } = fieldsOf(container, 'spec.containers[0]')
  const patch = {
    metadata: fieldsOf(metadata, 'metadata'),
    spec: podSpec,
    container: containerFields,
  }
  refuseOthers(patch.metadata, METADATA_FIELDS, 'metadata.')
  refuseOthers(patch.spec, POD_FIELDS, 'spec.')
  refuseOthers(patch.container, CONTAINER_FIELDS, 'spec.containers[0].')
  for (const volume of itemsOf(patch.spec['volumes'], 'spec.volumes'))
    refuseOthers(fieldsOf(volume, 'spec.volumes'), HOST_VOLUMES, 'spec.volumes: ')
  for (const variable of itemsOf(patch.container['env'], 'env'))
    refuseReferences(fieldsOf(variable, 'env'))
  return patch
}

/** Adds a patch to a static pod: mappings are merged, lists are appended, and other values are replaced. */
export function patchPod(pod: Document, { metadata, spec, container }: PodPatch): void {
  mergeInto(pod, ['metadata'], metadata)
  mergeInto(pod, ['spec'], spec)
  mergeInto(pod, ['spec', 'containers', 0], container)
}

function mergeInto(pod: Document, path: readonly (string | number)[], fields: Fields): void {
  for (const [name, value] of Object.entries(fields)) {
    const place = [...path, name]
    const held: unknown = pod.getIn(place)
    if (isMap(held) && isFields(value)) mergeInto(pod, place, value)
    else if (isSeq(held) && Array.isArray(value))
      for (const item of value) pod.addIn(place, pod.createNode(item))
    else pod.setIn(place, pod.createNode(value))
  }
}

function refuseOthers(fields: Fields, allowed: ReadonlySet<string>, where: string): void {
  const other = Object.keys(fields).find((name) => !allowed.has(name))
  if (other !== undefined) throw invalid(`${where}${other} cannot be set for the static pod`)
}

/** Only fields of the pod itself can be read without an API server. */
function refuseReferences({ name, valueFrom }: Fields): void {
  const { fieldRef: _field, resourceFieldRef: _resource, ...others } = fieldsOf(valueFrom, 'env')
  const [kind] = Object.keys(others)
  if (kind !== undefined)
    throw invalid(`env ${String(name)}: a static pod cannot use valueFrom.${kind}; set a value`)
}

function fieldsOf(value: unknown, where: string): Fields {
  if (value === undefined || value === null) return {}
  if (!isFields(value)) throw invalid(`${where} must be a mapping`)
  return value
}

function itemsOf(value: unknown, where: string): readonly unknown[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw invalid(`${where} must be a list`)
  return value as readonly unknown[]
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function invalid(reason: string): BridgeError {
  return new BridgeError('CONFIG_INVALID', `--pod-patch: ${reason}`)
}
