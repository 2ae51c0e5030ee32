/** What an API server does at one moment, as its clients see it. */
export interface OutageSample {
  /** Seconds since the outage began. */
  readonly at: number
  readonly ready: boolean
  readonly write: boolean
  readonly read: boolean
}

export type Probe = 'ready' | 'write' | 'read'
const PROBES: readonly Probe[] = ['ready', 'write', 'read']

/** What an outage did to one thing. */
export interface ProbeResult {
  readonly tried: number
  readonly failed: number
  /** Seconds since the beginning; undefined if it never failed. */
  readonly firstFailure?: number
  /** Seconds from the end of the outage until it worked for good; undefined if it never failed, or not again. */
  readonly recoveredAfter?: number
}

/** The result of a rehearsal; this is also its JSON, so names stay. */
export interface OutageRecord {
  readonly server: string
  readonly plugin: string
  readonly startedAt: string
  readonly seconds: number
  /** Whether all works again. */
  readonly recovered: boolean
  readonly probes: Readonly<Record<Probe, ProbeResult>>
}

export interface RecordOptions {
  readonly server: string
  readonly plugin: string
  readonly startedAt: string
  readonly seconds: number
  readonly samples: readonly OutageSample[]
}

/** Sums samples up. */
export function makeRecord({ samples, ...facts }: RecordOptions): OutageRecord {
  const results = PROBES.map((probe) => [probe, judge(samples, probe, facts.seconds)] as const)
  const last = samples.at(-1)
  return {
    ...facts,
    recovered: last !== undefined && PROBES.every((probe) => last[probe]),
    probes: Object.fromEntries(results) as Record<Probe, ProbeResult>,
  }
}

function judge(samples: readonly OutageSample[], probe: Probe, seconds: number): ProbeResult {
  const failures = samples.filter((sample) => !sample[probe])
  const lastFailure = failures.at(-1)
  const back = samples.find(({ at }) => lastFailure !== undefined && at > lastFailure.at)
  return {
    tried: samples.length,
    failed: failures.length,
    ...(failures[0] === undefined ? {} : { firstFailure: round(failures[0].at) }),
    ...(back === undefined ? {} : { recoveredAfter: round(Math.max(0, back.at - seconds)) }),
  }
}

function round(seconds: number): number {
  return Math.round(seconds * 10) / 10
}

const NAMES: Readonly<Record<Probe, string>> = {
  ready: 'readiness (/readyz/kms-providers)',
  write: 'writes of a Secret',
  read: 'reads of a Secret',
}

/** The result as a document in Markdown. */
export function formatRecord(record: OutageRecord): string {
  const { server, plugin, startedAt, seconds, recovered, probes } = record
  const rows = PROBES.map((probe) => {
    const { tried, failed, firstFailure, recoveredAfter } = probes[probe]
    const first = firstFailure === undefined ? 'never' : `${String(firstFailure)} s`
    const back =
      recoveredAfter === undefined
        ? failed === 0
          ? '-'
          : 'not yet'
        : `${String(recoveredAfter)} s`
    return `| ${NAMES[probe]} | ${String(failed)} of ${String(tried)} | ${first} | ${back} |`
  })
  return [
    '# Rehearsal: Vault away',
    '',
    `- API server: ${server}`,
    `- plugin: ${plugin}`,
    `- begun: ${startedAt}`,
    `- Vault was away: ${String(seconds)} s`,
    `- all works again: ${recovered ? 'yes' : 'no'}`,
    '',
    '| | failed | first failure after | worked again after the end |',
    '| --- | --- | --- | --- |',
    ...rows,
  ].join('\n')
}
