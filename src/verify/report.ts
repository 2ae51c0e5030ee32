import type { Expectation } from '../encryption/expectation.ts'
import { PLAINTEXT } from '../encryption/rules-file.ts'
import { formatResource } from '../kube/resource.ts'
import { hashKeyId } from '../seed/key-id.ts'
import { findNothingDecrypted } from './gaps.ts'
import {
  emptyTally,
  type Group,
  type NamedFinding,
  type ResourceTally,
  type Tally,
} from './tally.ts'

/** How much was tried: envelopes only, every DEK seed, every object as well, or every object without Vault. */
export type Depth = 'envelopes' | 'seeds' | 'objects' | 'offline'

/** The sealed file that decrypted the objects. */
export interface SealedFileUse {
  readonly file: string
  readonly localKeys: number
  /** When the plugin can no longer start from it, unless Vault answers before: RFC 3339. */
  readonly usableUntil: string
  /** Whether the data is that of an etcd snapshot, which says nothing about what etcd contains now. */
  readonly ofSnapshot: boolean
}

/** The result of `verify`. Its field names are those of the JSON output and must not change. */
export interface Report {
  /** Whether it was proved that everything is encrypted and readable: nothing of what follows is above 0, and no gap is left. */
  readonly ok: boolean
  readonly source: string
  readonly prefix: string
  /** The revisions of etcd at which it was read. */
  readonly revisions: readonly string[]
  readonly depth: Depth
  /** The uid of the requests in Vault's audit log; only if Vault was asked. */
  readonly vaultUid?: string | undefined
  /** Only with the depth `offline`, and only if the file was still as good after the store was read. */
  readonly sealedFile?: SealedFileUse | undefined
  readonly objects: number
  /** Distinct DEK sources (seeds). */
  readonly seeds: number
  /** Objects in plaintext that must be encrypted. */
  readonly plain: number
  readonly unreadable: number
  /** Encrypted objects that were not decrypted although `depth` says so. */
  readonly unproven: number
  /** Objects that no provider of the EncryptionConfiguration can read; undefined without one. */
  readonly withoutProvider?: number | undefined
  /** What could not be proved about the store as a whole, each a sentence. */
  readonly gaps: readonly string[]
  readonly resources: readonly ResourceReport[]
  /** The Transit key versions that objects need, newest first, by provider of the plugin. */
  readonly keyVersionsNeeded: readonly KeyVersionsNeeded[]
  /** How many objects of the plugin are under local keys; undefined if none is. */
  readonly localKeys?: LocalKeysUse | undefined
}

export interface LocalKeysUse {
  readonly objects: number
  /** Objects of the plugin. */
  readonly of: number
}

export interface KeyVersionsNeeded {
  readonly provider: string
  readonly versions: readonly number[]
}

export interface ResourceReport {
  readonly resource: string
  readonly toBeEncrypted: boolean
  readonly objects: number
  readonly plain: number
  readonly unreadable: number
  readonly unproven: number
  /** As in {@link Report}. */
  readonly withoutProvider?: number | undefined
  /** Encrypted by a provider other than the one that writes; undefined if the latter is unknown. */
  readonly otherProvider?: number | undefined
  readonly groups: readonly GroupReport[]
  /** Some of the plaintext objects, if they must be encrypted. */
  readonly plainKeys: readonly string[]
  readonly unreadableKeys: readonly NamedFinding[]
  readonly unprovenKeys: readonly NamedFinding[]
}

export interface GroupReport {
  readonly provider: string
  readonly objects: number
  readonly keyId?: string | undefined
  /** The key id as in the metrics of kube-apiserver. */
  readonly keyIdHash?: string | undefined
  readonly keyVersion?: number | undefined
  readonly seeds: number
}

export interface ReportOptions {
  readonly tally: Tally
  readonly expectation: Expectation
  readonly gaps: readonly string[]
  readonly source: string
  readonly prefix: string
  readonly revisions: readonly bigint[]
  readonly depth: Depth
  readonly vaultUid?: string | undefined
}

const SECRETS = { name: 'secrets', group: '' }

/** Judges what was counted. */
export function makeReport(options: ReportOptions): Report {
  const { tally, expectation, source, prefix, revisions, depth, vaultUid } = options
  const resources = [...withNamed(tally, expectation).values()]
    .map((each) => reportResource(each, expectation))
    .toSorted((one, other) => (one.resource < other.resource ? -1 : 1))
  const sum = (of: (each: ResourceReport) => number | undefined) =>
    resources.reduce((all, each) => all + (of(each) ?? 0), 0)
  const plain = sum((each) => (each.toBeEncrypted ? each.plain : 0))
  // For every resource: damaged data cannot be read, and data that was not decrypted is not proved.
  const unreadable = sum((each) => each.unreadable)
  const unproven = sum((each) => each.unproven)
  const withoutProvider = resources.some((each) => each.withoutProvider !== undefined)
    ? sum((each) => each.withoutProvider)
    : undefined
  const localKeys = countLocalKeys(tally)
  const gaps = [...options.gaps, ...findHollow(tally, depth, localKeys)]
  const faults = plain + unreadable + unproven + (withoutProvider ?? 0) + gaps.length
  return {
    ok: faults === 0,
    source,
    prefix,
    revisions: revisions.map(String),
    depth,
    vaultUid,
    objects: tally.objects,
    seeds: tally.sources,
    plain,
    unreadable,
    unproven,
    withoutProvider,
    gaps,
    resources,
    keyVersionsNeeded: listVersions(tally),
    localKeys,
  }
}

/** What was not there, so that reading or decrypting it proves nothing. */
function findHollow(
  tally: Tally,
  depth: Depth,
  localKeys: LocalKeysUse | undefined,
): readonly string[] {
  if (tally.objects === 0) return ['no object was read, so nothing is proved']
  if (depth === 'envelopes') return []
  if (depth !== 'offline') return findNothingDecrypted(tally.encrypted)
  return localKeys === undefined ? ['no object is under a local key, so nothing is proved'] : []
}

/** The same report with something more that could not be proved. */
export function addGap(report: Report, gap: string): Report {
  return { ...report, ok: false, gaps: [...report.gaps, gap] }
}

function countLocalKeys(tally: Tally): LocalKeysUse | undefined {
  const own = [...tally.resources.values()]
    .flatMap(({ groups }) => [...groups.values()])
    .filter((group) => group.isOwn)
  const objects = own.reduce((sum, { underLocalKeys }) => sum + underLocalKeys, 0)
  return objects === 0 ? undefined : { objects, of: count(own) }
}

/** Secrets, and resources that were named, are in the report even without objects. */
function withNamed(tally: Tally, { named }: Expectation): ReadonlyMap<string, ResourceTally> {
  const tallies = new Map(tally.resources)
  for (const resource of named.length === 0 ? [SECRETS] : named) {
    const name = formatResource(resource)
    if (!tallies.has(name)) tallies.set(name, emptyTally(resource))
  }
  return tallies
}

function reportResource(tally: ResourceTally, expectation: Expectation): ResourceReport {
  const { resource, objects, plain, unreadable, unproven } = tally
  const toBeEncrypted = expectation.isToBeEncrypted(resource) ?? plain < objects
  const writer = expectation.writerOf(resource)
  const groups = [...tally.groups.values()].toSorted(compareGroups)
  const isOther = ({ kind, provider }: Group) => kind !== 'plain' && provider !== writer
  return {
    resource: formatResource(resource),
    toBeEncrypted,
    objects,
    plain,
    unreadable,
    unproven,
    withoutProvider: countWithoutProvider(tally, groups, expectation),
    otherProvider: writer === undefined ? undefined : count(groups.filter(isOther)),
    groups: groups.map(reportGroup),
    plainKeys: toBeEncrypted ? tally.plainNames : [],
    unreadableKeys: tally.unreadableNames,
    unprovenKeys: tally.unprovenNames,
  }
}

/** Damaged objects are counted as unreadable already. */
function countWithoutProvider(
  { resource }: ResourceTally,
  groups: readonly Group[],
  expectation: Expectation,
): number | undefined {
  let total: number | undefined
  for (const { kind, provider, objects } of groups) {
    if (kind === 'damaged') continue
    const canRead = expectation.canRead(resource, kind === 'plain' ? PLAINTEXT : provider)
    if (canRead === undefined) return undefined
    total = (total ?? 0) + (canRead ? 0 : objects)
  }
  return total
}

function count(groups: readonly Group[]): number {
  return groups.reduce((sum, { objects }) => sum + objects, 0)
}

const RANK = { 'kms-v2': 0, 'kms-v1': 1, local: 2, plain: 3, damaged: 4 } as const

/** The newest key version first and plaintext last: what is left to do is at the end. */
function compareGroups(one: Group, other: Group): number {
  const byOwner = Number(other.isOwn) - Number(one.isOwn)
  const byKind = RANK[one.kind] - RANK[other.kind]
  const byVersion = (other.keyVersion ?? 0) - (one.keyVersion ?? 0)
  return byOwner || byKind || one.provider.localeCompare(other.provider) || byVersion
}

function reportGroup({ provider, objects, keyId, keyVersion, sources }: Group): GroupReport {
  const keyIdHash = keyId === undefined ? undefined : hashKeyId(keyId)
  return { provider, objects, keyId, keyIdHash, keyVersion, seeds: sources }
}

function listVersions(tally: Tally): readonly KeyVersionsNeeded[] {
  const found = new Map<string, Set<number>>()
  for (const { groups } of tally.resources.values()) {
    for (const { provider, keyVersion } of groups.values()) {
      if (keyVersion === undefined) continue
      const versions = found.get(provider) ?? new Set()
      found.set(provider, versions.add(keyVersion))
    }
  }
  return [...found].map(([provider, versions]) => ({
    provider,
    versions: [...versions].toSorted((one, other) => other - one),
  }))
}
