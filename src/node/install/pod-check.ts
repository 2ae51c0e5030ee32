import { isIP } from 'node:net'
import { posix } from 'node:path'
import * as v from 'valibot'

import { trimSlashes } from '../../text/slashes.ts'

// What the kubelet requires of a pod (kubernetes: pkg/apis/core/validation/validation.go), for the fields that no API server has
// checked: those of the chart that only the static pod has. Labels are checked for those who write their own patch.

const LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const SEARCH = /^[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?)*\.?$|^\.$/
const VARIABLE = /^[ -<>-~]+$/
const FIELD =
  /^(metadata\.(name|namespace|uid|(labels|annotations)\['[^']+'\])|spec\.(nodeName|serviceAccountName)|status\.(hostIPs?|podIPs?))$/
const RESOURCE = /^(limits|requests)\.(cpu|memory|ephemeral-storage|hugepages-.+)$/
const AMOUNT =
  /^(?<count>\d+\.?\d*|\.\d+)(?:(?<unit>[numkMGTPE]|[KMGTPE]i)|[eE](?<power>[+-]?\d{1,3}))?$/
const SI = ['n', 'u', 'm', '', 'k', 'M', 'G', 'T', 'P', 'E']
const BINARY = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei']

function explainShape({ expected }: v.BaseIssue<unknown>): string {
  if (expected === 'Object') return 'must be a mapping'
  return expected === 'never' ? 'cannot be set' : 'is missing'
}

function listOf<const Item extends v.GenericSchema>(item: Item) {
  return v.array(item, 'must be a list')
}

const text = v.string('must be a text')
const noParent = v.check(
  (path: string) => !path.split('/').includes('..'),
  'must not contain a folder named ".."',
)
const address = v.pipe(
  text,
  v.check((each) => isIP(each) !== 0, 'must be an IP address'),
)
const amount = v.pipe(
  v.union([v.string(), v.number()], 'must be an amount, such as 256Mi or 20m'),
  v.check((given) => amountOf(given) !== undefined, 'must be an amount, such as 256Mi or 20m'),
)
const amounts = v.optional(
  v.strictObject(
    {
      cpu: v.optional(amount),
      memory: v.optional(amount),
      'ephemeral-storage': v.optional(amount),
    },
    explainShape,
  ),
  {},
)

const volume = v.pipe(
  v.looseObject(
    {
      name: v.pipe(
        text,
        v.regex(LABEL, 'must be a name of at most 63 lower-case letters, digits and -'),
      ),
      hostPath: v.optional(
        v.strictObject(
          {
            path: v.pipe(text, v.regex(/^\//, 'must be a full path, starting with /'), noParent),
            type: v.optional(
              v.picklist(
                [
                  '',
                  'DirectoryOrCreate',
                  'Directory',
                  'FileOrCreate',
                  'File',
                  'Socket',
                  'CharDevice',
                  'BlockDevice',
                ],
                'must be a type of hostPath, such as Directory or File',
              ),
            ),
          },
          explainShape,
        ),
      ),
      emptyDir: v.optional(
        v.strictObject({ medium: v.optional(text), sizeLimit: v.optional(amount) }, explainShape),
      ),
    },
    explainShape,
  ),
  v.check(
    ({ hostPath, emptyDir }) => hostPath === undefined || emptyDir === undefined,
    'must not have both hostPath and emptyDir',
  ),
)

const mount = v.looseObject(
  {
    name: text,
    mountPath: v.pipe(text, v.regex(/^\//, 'must be a full path, starting with /')),
    subPath: v.optional(v.pipe(text, v.regex(/^(?!\/)/, 'must not start with /'), noParent)),
    mountPropagation: v.optional(
      v.picklist(
        ['None', 'HostToContainer', 'Bidirectional'],
        'must be None, HostToContainer or Bidirectional',
      ),
    ),
  },
  explainShape,
)

const variable = v.pipe(
  v.looseObject(
    {
      name: v.pipe(text, v.regex(VARIABLE, 'must be the name of a variable, without =')),
      value: v.optional(text),
      valueFrom: v.optional(
        v.looseObject(
          {
            fieldRef: v.optional(
              v.looseObject(
                {
                  fieldPath: v.pipe(text, v.regex(FIELD, 'must be a field, such as spec.nodeName')),
                },
                explainShape,
              ),
            ),
            resourceFieldRef: v.optional(
              v.looseObject(
                {
                  resource: v.pipe(
                    text,
                    v.regex(RESOURCE, 'must be a resource, such as limits.memory'),
                  ),
                },
                explainShape,
              ),
            ),
          },
          explainShape,
        ),
      ),
    },
    explainShape,
  ),
  v.check(
    ({ value = '', valueFrom }) => value === '' || valueFrom === undefined,
    'must not have both value and valueFrom',
  ),
)

const container = v.looseObject({
  args: listOf(text),
  env: v.optional(listOf(variable), []),
  volumeMounts: listOf(mount),
  resources: v.strictObject({ limits: amounts, requests: amounts }, explainShape),
})

const spec = v.pipe(
  v.looseObject({
    containers: v.tuple([container]),
    volumes: listOf(volume),
    hostAliases: v.optional(
      listOf(
        v.looseObject(
          {
            ip: address,
            hostnames: listOf(
              v.pipe(text, v.regex(SUBDOMAIN, 'must be a host name, in lower case')),
            ),
          },
          explainShape,
        ),
      ),
    ),
    dnsPolicy: v.optional(
      v.picklist(
        ['ClusterFirst', 'ClusterFirstWithHostNet', 'Default', 'None'],
        'must be ClusterFirst, ClusterFirstWithHostNet, Default or None',
      ),
    ),
    dnsConfig: v.optional(
      v.looseObject({
        nameservers: v.optional(
          v.pipe(listOf(address), v.maxLength(3, 'must not have more than 3 entries')),
          [],
        ),
        searches: v.optional(
          v.pipe(
            listOf(v.pipe(text, v.regex(SEARCH, 'must be a domain, in lower case'))),
            v.maxLength(32, 'must not have more than 32 entries'),
          ),
        ),
      }),
    ),
  }),
  v.check(
    ({ dnsPolicy, dnsConfig }) => dnsPolicy !== 'None' || (dnsConfig?.nameservers ?? []).length > 0,
    'must have dnsConfig.nameservers with dnsPolicy None',
  ),
)

const pod = v.looseObject({
  metadata: v.looseObject({
    labels: v.record(text, text, 'must be a mapping'),
    annotations: v.record(text, text, 'must be a mapping'),
  }),
  spec,
})
type PodSpec = v.InferOutput<typeof spec>
type Container = v.InferOutput<typeof container>

/** Why the kubelet would refuse a static pod, and then stop the one that runs; undefined if nothing is wrong. */
export function findPodFault(given: unknown): string | undefined {
  const parsed = v.safeParse(pod, given, { abortEarly: true })
  if (parsed.success) return findConflict(parsed.output.spec)
  const [issue] = parsed.issues
  const path = v.getDotPath(issue) ?? ''
  return `${path.replaceAll(/\.(\d+)/g, '[$1]')} ${issue.message}`
}

function findConflict({ volumes, containers: [first] }: PodSpec): string | undefined {
  const names = volumes.map(({ name }) => name)
  const taken = findRepeated(names)
  if (taken !== undefined)
    return `spec.volumes has two entries with the name ${taken}; choose another name`
  const lost = first.volumeMounts.find(({ name }) => !names.includes(name))
  if (lost !== undefined)
    return `spec.containers[0].volumeMounts refers to the volume ${lost.name}, which spec.volumes does not have`
  const path = findRepeated(first.volumeMounts.map(({ mountPath }) => withoutEnd(mountPath)))
  if (path !== undefined)
    return `spec.containers[0].volumeMounts has two entries for ${path}; choose another mountPath`
  return findShortage(first)
}

/** A patch may set only one of both, so the other one is that of the installer. */
function findShortage({ resources: { limits, requests } }: Container): string | undefined {
  const names = ['cpu', 'memory', 'ephemeral-storage'] as const
  const short = names.find(
    (name) => (amountOf(requests[name] ?? 0) ?? 0) > (amountOf(limits[name] ?? Infinity) ?? 0),
  )
  if (short === undefined) return undefined
  return `spec.containers[0].resources requests ${String(requests[short])} of ${short}, which is more than the limit ${String(limits[short])}; set both`
}

function findRepeated(names: readonly string[]): string | undefined {
  return names.find((name, index) => names.indexOf(name) !== index)
}

function withoutEnd(path: string): string {
  return trimSlashes(posix.normalize(path)) || '/'
}

/** The value of a quantity of Kubernetes; undefined if it is none, or negative. */
function amountOf(given: string | number): number | undefined {
  if (typeof given === 'number') return given >= 0 ? given : undefined
  const { count, unit = '', power = '0' } = AMOUNT.exec(given)?.groups ?? {}
  if (count === undefined) return undefined
  const binary = unit.endsWith('i') ? 1024 ** BINARY.indexOf(unit) : undefined
  return Number(count) * (binary ?? 1000 ** (SI.indexOf(unit) - 3)) * 10 ** Number(power)
}
