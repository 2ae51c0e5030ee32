import { labelProvider } from '../encryption/rules-file.ts'
import type { ErrorCode } from '../errors.ts'
import type { StoredValue } from '../storage/stored-value.ts'
import { DigestSet } from '../digest-set.ts'
import type { Finding, ParsedObject } from './proof.ts'
import { formatResource, resourceOfPath, type Resource } from '../kube/resource.ts'
import { identifySource } from '../storage/source-identity.ts'
import { isOwn, isUnderLocalKey, keyVersionOf } from '../storage/wrapped-source.ts'

/** Objects of a resource with the same provider, key id and key version. */
export interface Group {
  /** `kms v2 NAME`, `aescbc KEY`, `plaintext protobuf`, `damaged`. */
  readonly provider: string
  readonly kind: StoredValue['kind']
  readonly keyId?: string | undefined
  /** Of the Transit key, if it is one. */
  readonly keyVersion?: number | undefined
  /** Whether this plugin wrote it. */
  readonly isOwn: boolean
  objects: number
  /** Objects whose DEK seed a local key encrypted, so that a plugin can decrypt it without Vault. */
  underLocalKeys: number
  /** Distinct DEK sources: seeds of KMS v2, keys of KMS v1. */
  sources: number
}

export interface NamedFinding {
  readonly key: string
  readonly why: string
  readonly code?: ErrorCode | undefined
}

/** The counts of one resource. */
export interface ResourceTally {
  readonly resource: Resource
  readonly groups: Map<string, Group>
  objects: number
  plain: number
  unreadable: number
  unproven: number
  /** Some keys of each. */
  readonly plainNames: string[]
  readonly unreadableNames: NamedFinding[]
  readonly unprovenNames: NamedFinding[]
}

/** How many keys are kept for each resource, which bounds the memory. */
const MAX_NAMES = 1_000
const MAX_PLAIN_NAMES = 20

/** Counts objects by resource and provider. Its memory does not grow with the number of objects. */
export class Tally {
  readonly #prefix: string
  readonly #sources = new DigestSet()
  readonly #usedSources = new DigestSet()
  readonly resources = new Map<string, ResourceTally>()
  objects = 0

  /** @param prefix of all keys, with a slash at the end */
  constructor(prefix: string) {
    this.#prefix = prefix
  }

  /** Distinct DEK sources in all resources. */
  get sources(): number {
    return this.#sources.size
  }

  /** Objects that are not plaintext, including damaged ones. */
  get encrypted(): number {
    return [...this.resources.values()].reduce(
      (sum, { objects, plain }) => sum + objects - plain,
      0,
    )
  }

  add({ key, stored }: ParsedObject, finding: Finding | undefined): void {
    const name = Buffer.from(key).toString('utf8')
    const tally = this.#tallyOf(name.slice(this.#prefix.length))
    this.objects += 1
    tally.objects += 1
    countGroup(tally, stored, this.#isNewSource(tally, stored))
    if (stored.kind === 'plain') {
      tally.plain += 1
      if (tally.plainNames.length < MAX_PLAIN_NAMES) tally.plainNames.push(name)
    }
    if (finding !== undefined) countFinding(tally, name, finding)
  }

  #tallyOf(path: string): ResourceTally {
    const resource = resourceOfPath(path)
    const name = formatResource(resource)
    const found = this.resources.get(name)
    if (found !== undefined) return found
    const tally = emptyTally(resource)
    this.resources.set(name, tally)
    return tally
  }

  /** A DEK source counts once in each resource that uses it, and once in the total. */
  #isNewSource({ resource }: ResourceTally, stored: StoredValue): boolean {
    if (stored.kind !== 'kms-v1' && stored.kind !== 'kms-v2') return false
    const id = Buffer.from(identifySource(stored), 'latin1')
    this.#sources.add(id)
    return this.#usedSources.add(id, Buffer.from(formatResource(resource)))
  }
}

export function emptyTally(resource: Resource): ResourceTally {
  return {
    resource,
    groups: new Map(),
    objects: 0,
    plain: 0,
    unreadable: 0,
    unproven: 0,
    plainNames: [],
    unreadableNames: [],
    unprovenNames: [],
  }
}

function countGroup(tally: ResourceTally, stored: StoredValue, isNewSource: boolean): void {
  const facts = describe(stored)
  const id = `${facts.provider}\0${facts.keyId ?? ''}\0${String(facts.keyVersion ?? '')}`
  let group = tally.groups.get(id)
  if (group === undefined) {
    group = { ...facts, objects: 0, underLocalKeys: 0, sources: 0 }
    tally.groups.set(id, group)
  }
  group.objects += 1
  if (isUnderLocalKey(stored)) group.underLocalKeys += 1
  if (isNewSource) group.sources += 1
}

function describe(stored: StoredValue): Omit<Group, 'objects' | 'underLocalKeys' | 'sources'> {
  const { kind } = stored
  switch (stored.kind) {
    case 'plain':
      return { kind, provider: labelProvider('plaintext', stored.encoding), isOwn: false }
    case 'damaged':
      return { kind, provider: 'damaged', isOwn: false }
    case 'local':
      return { kind, provider: labelProvider(stored.scheme, stored.keyName), isOwn: false }
    case 'kms-v1':
    case 'kms-v2': {
      const keyVersion = keyVersionOf(stored)
      return {
        kind,
        provider: labelProvider(stored.kind.replace('-', ' '), stored.provider),
        isOwn: isOwn(stored),
        keyId: stored.kind === 'kms-v2' ? stored.keyId : undefined,
        keyVersion,
      }
    }
  }
}

function countFinding(tally: ResourceTally, key: string, { kind, why, code }: Finding): void {
  tally[kind] += 1
  const names = kind === 'unreadable' ? tally.unreadableNames : tally.unprovenNames
  if (names.length < MAX_NAMES) names.push({ key, why, code })
}
