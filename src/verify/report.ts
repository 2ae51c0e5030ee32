import { createHash } from 'node:crypto'

import type { Expectation } from '../encryption/expectation.ts'
import { formatResource, type Resource } from '../kube/resource.ts'
import {
  emptyTally,
  type Group,
  type NamedFinding,
  type ResourceTally,
  type Tally,
} from './tally.ts'

/** How much was tried: envelopes alone, every DEK source, or every object too. */
export type Depth = 'envelopes' | 'sources' | 'objects'

/** What `verify` answers; this is also its JSON, so names stay. */
export interface Report {
  /** Whether nothing that is to be encrypted is plain, nothing is unreadable, and all that was to be proven is. */
  readonly ok: boolean
  readonly source: string
  readonly prefix: string
  /** The revisions of etcd at which it was read. */
  readonly revisions: readonly string[]
  readonly depth: Depth
  /** The uid of the requests to Vault, as its audit log has it; only where Vault was asked. */
  readonly vaultUid?: string
  readonly objects: number
  /** Distinct DEK sources (seeds). */
  readonly seeds: number
  readonly plain: number
  readonly unreadable: number
  readonly unproven: number
  readonly resources: readonly ResourceReport[]
  /** By provider of the plugin: the Transit key versions without which objects cannot be read, newest first. */
  readonly keyVersionsNeeded: readonly KeyVersionsNeeded[]
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
  /** Encrypted, but not by what writes now; undefined where that is not known. */
  readonly otherProvider?: number
  readonly groups: readonly GroupReport[]
  /** Some of the plain ones, if they are to be encrypted. */
  readonly plainKeys: readonly string[]
  readonly unreadableKeys: readonly NamedFinding[]
  readonly unprovenKeys: readonly NamedFinding[]
}

export interface GroupReport {
  readonly provider: string
  readonly objects: number
  readonly keyId?: string
  /** As kube-apiserver's metrics name the key id. */
  readonly keyIdHash?: string
  readonly keyVersion?: number
  readonly seeds: number
}

export interface ReportOptions {
  readonly tally: Tally
  readonly expectation: Expectation
  /** Asked for by name: they are in the report also when they have no objects. */
  readonly named: readonly Resource[]
  readonly source: string
  readonly prefix: string
  readonly revisions: readonly bigint[]
  readonly depth: Depth
  readonly vaultUid?: string
}

/** Judges what was counted. */
export function makeReport(options: ReportOptions): Report {
  const { tally, expectation, named, source, prefix, revisions, depth, vaultUid } = options
  const tallies = new Map(tally.resources)
  for (const resource of named) {
    const name = formatResource(resource)
    if (!tallies.has(name)) tallies.set(name, emptyTally(resource))
  }
  const resources = [...tallies.values()]
    .map((each) => reportResource(each, expectation))
    .toSorted((one, other) => (one.resource < other.resource ? -1 : 1))
  const sum = (of: (each: ResourceReport) => number) =>
    resources.filter((each) => each.toBeEncrypted).reduce((all, each) => all + of(each), 0)
  const plain = sum((each) => each.plain)
  // What is damaged cannot be read, whatever it was meant to be.
  const unreadable = resources.reduce((all, each) => all + each.unreadable, 0)
  const unproven = sum((each) => each.unproven)
  return {
    ok: plain === 0 && unreadable === 0 && unproven === 0,
    source,
    prefix,
    revisions: revisions.map(String),
    depth,
    ...(vaultUid === undefined ? {} : { vaultUid }),
    objects: tally.objects,
    seeds: tally.sources,
    plain,
    unreadable,
    unproven,
    resources,
    keyVersionsNeeded: listVersions(tally),
  }
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
    ...(writer === undefined ? {} : { otherProvider: count(groups.filter(isOther)) }),
    groups: groups.map(reportGroup),
    plainKeys: toBeEncrypted ? tally.plainNames : [],
    unreadableKeys: tally.unreadableNames,
    unprovenKeys: toBeEncrypted ? tally.unprovenNames : [],
  }
}

function count(groups: readonly Group[]): number {
  return groups.reduce((sum, { objects }) => sum + objects, 0)
}

const RANK = { 'kms-v2': 0, 'kms-v1': 1, local: 2, plain: 3, damaged: 4 } as const

/** The newest key version first and what is plain last: what is left to do is at the end. */
function compareGroups(one: Group, other: Group): number {
  const byOwner = Number(other.isOwn) - Number(one.isOwn)
  const byKind = RANK[one.kind] - RANK[other.kind]
  const byVersion = (other.keyVersion ?? 0) - (one.keyVersion ?? 0)
  return byOwner || byKind || one.provider.localeCompare(other.provider) || byVersion
}

function reportGroup({ provider, objects, keyId, keyVersion, sources }: Group): GroupReport {
  return {
    provider,
    objects,
    ...(keyId === undefined ? {} : { keyId, keyIdHash: hashKeyId(keyId) }),
    ...(keyVersion === undefined ? {} : { keyVersion }),
    seeds: sources,
  }
}

function hashKeyId(keyId: string): string {
  return `sha256:${createHash('sha256').update(keyId).digest('hex')}`
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
