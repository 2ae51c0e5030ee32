/**
 * What the plugin says about its last check of Vault; `unknown` if it says nothing, or nothing about that. Reads and writes work
 * without Vault, with the seeds in memory.
 */
export type PluginState = 'connected' | 'disconnected' | 'unknown'

/** What a client of the API server can do at one moment. */
export interface OutageSample {
  /** Seconds since the start of the outage. */
  readonly at: number
  readonly ready: boolean
  readonly write: boolean
  readonly read: boolean
  readonly plugin: PluginState
}

export type Probe = 'ready' | 'write' | 'read' | 'plugin'
export const PROBES: readonly Probe[] = ['ready', 'write', 'read', 'plugin']

/** The effect of an outage on one probe. */
export interface ProbeResult {
  readonly tried: number
  readonly failed: number
  /** Seconds since the start of the outage; undefined if it never failed. */
  readonly firstFailure?: number | undefined
  /** Seconds from the end of the outage until it worked permanently; undefined if it never failed or never recovered. */
  readonly recoveredAfter?: number | undefined
}

/** The result of a drill. Its field names are those of the JSON output and must not change. */
export interface OutageRecord {
  readonly server: string
  readonly plugin: string
  readonly startedAt: string
  readonly seconds: number
  /** Whether everything works again, and there are no notes. */
  readonly ok: boolean
  /** Whether the plugin said that it does not reach Vault. */
  readonly noticed: boolean
  /** Whether every probe succeeds again; false if the plugin did not notice the outage. */
  readonly recovered: boolean
  /** What could not be proved, each a sentence. */
  readonly notes: readonly string[]
  readonly probes: Readonly<Record<Probe, ProbeResult>>
}

export interface RecordOptions {
  readonly server: string
  readonly plugin: string
  readonly startedAt: string
  readonly seconds: number
  readonly samples: readonly OutageSample[]
  /** As in {@link OutageRecord}. */
  readonly notes: readonly string[]
}

/** Whether the plugin noticed the outage: without that, nothing can recover. A plugin that says nothing may have missed it. */
export function showOutage(samples: readonly OutageSample[]): boolean {
  return samples.some(({ plugin }) => plugin === 'disconnected')
}

export function works(sample: OutageSample, probe: Probe): boolean {
  return probe === 'plugin' ? sample.plugin === 'connected' : sample[probe]
}

export function describePlugin(state: PluginState): string {
  if (state === 'connected') return 'the plugin reaches Vault'
  return state === 'disconnected'
    ? 'the plugin does not reach Vault'
    : 'the plugin does not say whether it reaches Vault'
}

/** Summarizes samples. */
export function makeRecord({ samples, ...facts }: RecordOptions): OutageRecord {
  const results = PROBES.map((probe) => [probe, judge(samples, probe, facts.seconds)] as const)
  const last = samples.at(-1)
  const noticed = showOutage(samples)
  const recovered = noticed && last !== undefined && PROBES.every((probe) => works(last, probe))
  return {
    ...facts,
    ok: recovered && facts.notes.length === 0,
    noticed,
    recovered,
    probes: Object.fromEntries(results) as Record<Probe, ProbeResult>,
  }
}

function judge(samples: readonly OutageSample[], probe: Probe, seconds: number): ProbeResult {
  const failures = samples.filter((sample) => !works(sample, probe))
  const lastFailure = failures.at(-1)
  const back = samples.find(({ at }) => lastFailure !== undefined && at > lastFailure.at)
  return {
    tried: samples.length,
    failed: failures.length,
    firstFailure: failures[0] && round(failures[0].at),
    recoveredAfter: back && round(Math.max(0, back.at - seconds)),
  }
}

function round(seconds: number): number {
  return Math.round(seconds * 10) / 10
}

const NAMES: Readonly<Record<Probe, string>> = {
  ready: 'readiness (/readyz/kms-providers)',
  write: 'writes of a Secret',
  read: 'reads of a Secret',
  plugin: 'the plugin reaches Vault (/readyz)',
}

/** The result as a document in Markdown. */
export function formatRecord(record: OutageRecord): string {
  const { server, plugin, startedAt, seconds, noticed, recovered, notes, probes } = record
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
    '# Drill: outage of Vault',
    '',
    `- API server: ${server}`,
    `- plugin: ${plugin}`,
    `- started: ${startedAt}`,
    `- outage: ${String(seconds)} s`,
    `- recovered: ${recovered ? 'yes' : noticed ? 'no' : 'not proved'}`,
    ...notes.map((note) => `- NOT ok: ${note}`),
    '',
    '| | failed | first failure after | recovered after the end |',
    '| --- | --- | --- | --- |',
    ...rows,
  ].join('\n')
}
