import { isCovered } from '../../../encryption/resource-rules.ts'
import type { EncryptionFile } from '../../../encryption/rules-file.ts'
import type { Discovery } from '../../../kube/discovery.ts'
import {
  formatResource,
  isNeverEncrypted,
  knownResources,
  parseResource,
  type Resource,
} from '../../../kube/resource.ts'
import { findNearest } from '../../../text/nearest.ts'
import { namesEtcd, type EtcdAccessValues } from './etcd.ts'
import { splitList, text, usageError, type Option, type ValuesOf } from '../option.ts'

/** Resources separated by commas: `secrets,widgets.example.com`. */
export function resources(help: string): Option<readonly Resource[] | undefined> {
  return {
    takes: 'LIST',
    help,
    read: ([value], label) => {
      if (value === undefined) return undefined
      const found = splitList(value).map((name) => requireResource(name, label))
      return [...new Map(found.map((each) => [formatResource(each), each])).values()]
    },
  }
}

/** Also the first part of a path that belongs to no known resource. A wrong name only makes the verdict stricter. */
export function allowedResources(help: string): Option<readonly Resource[] | undefined> {
  return {
    takes: 'LIST',
    help,
    read: ([value], label) =>
      value === undefined ? undefined : splitList(value).map((name) => readAllowed(name, label)),
  }
}

function readAllowed(name: string, label: string): Resource {
  const resource = parseResource(name)
  if (resource !== undefined) return resource
  const isUnknown = findNearest(name, knownResources()) === undefined
  return isUnknown && /^[a-z0-9-]+$/.test(name) ? { name, group: '' } : requireResource(name, label)
}

/** Resources, and the wildcards of an EncryptionConfiguration: `*.apps`, `*.`, `*.*`. */
function resourcePatterns(help: string): Option<readonly string[] | undefined> {
  return {
    takes: 'LIST',
    help,
    read: ([value], label) =>
      value === undefined
        ? undefined
        : splitList(value).map((name) =>
            /^\*\.(\*|[a-z0-9.-]*)$/.test(name)
              ? name
              : formatResource(requireResource(name, label)),
          ),
  }
}

function requireResource(name: string, label: string): Resource {
  const resource = parseResource(name)
  if (resource !== undefined && isNeverEncrypted(resource))
    throw usageError(`${label}: kube-apiserver never encrypts ${name}`)
  if (resource !== undefined) return resource
  const nearest = findNearest(name, knownResources())
  const hint =
    nearest === undefined
      ? 'write custom resources with their group: NAME.GROUP'
      : `did you mean ${nearest}?`
  throw usageError(`${label}: ${JSON.stringify(name)} is not a resource of Kubernetes; ${hint}`)
}

/** Which resources are rewritten. */
export const rewriteTargetOptions = {
  encryptionConfig: text(
    'FILE',
    "The API server's EncryptionConfiguration. All resources in it are rewritten.",
  ),
  resources: resourcePatterns('Rewrite only these: secrets,configmaps,NAME.GROUP'),
  accept: allowedResources(
    'Resources whose objects may stay as they are, such as those of an API that is no longer served.',
  ),
}

/** The names of accepted resources. */
export function readAccepted({
  accept = [],
}: Pick<ValuesOf<typeof rewriteTargetOptions>, 'accept'>): ReadonlySet<string> {
  return new Set(accept.map(formatResource))
}

/** Resources that were not rewritten and that nothing shows to be encrypted, each a sentence. Where etcd is read, it decides. */
export function listUnproved(
  skipped: Discovery['skipped'],
  values: EtcdAccessValues & Parameters<typeof readAccepted>[0],
): readonly string[] {
  if (namesEtcd(values)) return []
  const accepted = readAccepted(values)
  return skipped
    .filter(({ name }) => !accepted.has(name))
    .map(({ name, why }) => `${name} was not rewritten: ${why}`)
}

/** Throws USAGE_INVALID if nothing would prove the result. */
export function requireProof(
  values: EtcdAccessValues & {
    readonly encryptionConfig: string | undefined
    readonly configsMayDiffer: boolean
  },
): void {
  const { encryptionConfig, configsMayDiffer } = values
  if (encryptionConfig !== undefined || configsMayDiffer || namesEtcd(values)) return
  throw usageError(
    'nothing would prove the result; pass --encryption-config with the exact file of the API servers, or the etcd options (--endpoints)',
  )
}

/** What is rewritten, as an EncryptionConfiguration names it. Throws USAGE_INVALID. */
export function readPatterns(
  { resources: named }: Pick<ValuesOf<typeof rewriteTargetOptions>, 'resources'>,
  file: EncryptionFile | undefined,
): readonly string[] {
  if (file === undefined) {
    if (named !== undefined) return named
    throw usageError(
      "needs --encryption-config FILE (the API server's EncryptionConfiguration) or --resources LIST",
    )
  }
  const { rules, path } = file
  const isEncrypted = (name: string) => rules.some((rule) => isCovered(rule, name))
  const missing = named?.find((name) => !name.startsWith('*') && !isEncrypted(name))
  if (missing !== undefined) {
    throw usageError(
      `--resources: no rule of ${path} covers ${missing}, so API servers do not encrypt it; add a rule, or remove it from --resources`,
    )
  }
  if (named !== undefined) return named
  return [...new Set(rules.flatMap(({ resources: patterns }) => patterns))]
}
