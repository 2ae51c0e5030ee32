import { BridgeError } from '../errors.ts'
import type { AdministeredKey } from '../operator/key-admin.ts'
import { isSilent } from '../convergence/api-server-view.ts'
import type { ClusterReading } from '../convergence/cluster-reading.ts'
import { judgeConvergence, type Demand } from '../convergence/convergence.ts'
import type { KeyVersions } from '../storage/key-versions.ts'
import type { Report } from '../verify/report.ts'
import { findNeeded, type BackupReport, type NeededVersions } from './needed-versions.ts'
import { outlastOutage, stopped, waitForConvergence, type PatienceOptions } from './patience.ts'
import { ROTATION_STEPS, type RotationState, type RotationStep } from './state.ts'
import type { StateFile } from '../files/state-file.ts'
import { acceptResources, describeAccepted, describeStale, listStale } from '../verify/stale.ts'
import { listFaults } from '../verify/verdict.ts'

/** The individual effects of a rotation. */
export interface RotationActions {
  readKey(): Promise<AdministeredKey>
  versionsOf(key: AdministeredKey): KeyVersions
  rotateKey(): Promise<void>
  read(): Promise<ClusterReading>
  /** Rewrites everything that is not encrypted with the demanded key. */
  rewrite(demand: Demand, signal: AbortSignal): Promise<void>
  /** Verifies etcd; undefined without access to it. */
  reportEtcd(signal: AbortSignal): Promise<Report | undefined>
  /** Verifies each backup that must stay readable. */
  reportBackups(signal: AbortSignal): Promise<readonly BackupReport[]>
  /** Raises min_decryption_version after confirmation. Throws NOT_FINISHED if it must not. */
  raise(needed: NeededVersions, signal: AbortSignal): Promise<void>
}

export interface RotationOptions extends PatienceOptions {
  readonly actions: RotationActions
  readonly state: RotationState
  readonly file: StateFile<typeof RotationState>
  /** Whether to finish with the latest version instead of creating another. */
  readonly finishOnly: boolean
  /** What the API servers must agree on besides the key. */
  readonly demand: Omit<Demand, 'wanted'>
  /** Whether a resource is to be rewritten. */
  readonly isTarget: (resource: string) => boolean
  /** Resources whose objects may stay as they are. */
  readonly accepted: ReadonlySet<string>
  readonly onStep: (step: RotationStep, description: string) => void
}

/** A whole rotation. Every step is idempotent: a run that was interrupted in a step repeats it. */
export class Rotation {
  readonly #options: RotationOptions
  readonly #state: RotationState

  constructor(options: RotationOptions) {
    this.#options = options
    this.#state = options.state
  }

  /** Throws CANCELLED if the signal is aborted, NOT_CONVERGED or NOT_FINISHED with what to do; a later run continues. */
  async run(signal: AbortSignal): Promise<NeededVersions> {
    const { file, onNote } = this.#options
    // The cluster may have changed since an earlier run verified it.
    if (isAfter(this.#state.step, 'verify')) this.#state.step = 'verify'
    if (this.#state.step !== 'check')
      onNote(
        `resuming the rotation of ${this.#state.startedAt} at step ${number(this.#state.step)}`,
      )
    await this.#doUntil('rotate', () => this.#check(signal))
    await this.#doUntil('wait', () => this.#rotate(signal))
    await this.#doUntil('rewrite', () => this.#wait(signal))
    await this.#doUntil('verify', () => this.#rewrite(signal))
    await this.#doUntil('needed', () => this.#verify(signal))
    const needed = await this.#findNeeded(signal)
    if (signal.aborted) throw stopped()
    this.#options.onStep('raise', 'min_decryption_version is raised only after confirmation')
    try {
      await this.#options.actions.raise(needed, signal)
    } catch (error) {
      const { code, message } = BridgeError.from(error)
      if (code !== 'NOT_FINISHED') throw error
      // The rotation itself is complete: the next one must not resume it.
      await file.remove()
      throw new BridgeError(code, `${message}; ${FINISH_ADVICE}`, { cause: error })
    }
    await file.remove()
    return needed
  }

  /** Does the step before `next` unless an earlier run completed it. */
  async #doUntil(next: RotationStep, work: () => Promise<void>): Promise<void> {
    if (!isAfter(next, this.#state.step)) return
    await work()
    this.#state.step = next
    await this.#options.file.write(this.#state)
  }

  /** Requires a healthy cluster, and detects a rotation that is already in progress. */
  async #check(signal: AbortSignal): Promise<void> {
    const { actions, onStep, demand, finishOnly } = this.#options
    onStep('check', 'plugins and API servers must be healthy and use the same key')
    const reading = await actions.read()
    const { isReached, reasons, unseen, hashes } = judgeConvergence(reading, demand)
    if (unseen.length > 0) throw unhealthyCluster(unseen)
    const versions = actions.versionsOf(await this.#readKey(signal))
    const used = usedVersions(reading, versions)
    const isBehind = used.some((version) => version < this.#state.from)
    if (finishOnly || isBehind) {
      this.#state.to = this.#state.from
      this.#options.onNote(
        `the key already has the new version ${String(this.#state.from)}; completing that rotation instead of starting another`,
      )
      return
    }
    if (!isReached) throw unhealthyCluster(reasons)
    if (used.length === 0) throw foreignKey()
    const writes = [...hashes.values()].some((hash) => versions.versionOf(hash) !== undefined)
    if (!writes) throw readingOnly()
    await this.#noticeUnfinished(versions, hashes, signal)
  }

  /** Data under an older version although every API server uses the latest means an incomplete rotation. */
  async #noticeUnfinished(
    versions: KeyVersions,
    hashes: ReadonlyMap<string, string>,
    signal: AbortSignal,
  ): Promise<void> {
    const hash = versions.hashOf(this.#state.from)
    const report = await this.#options.actions.reportEtcd(signal)
    if (report === undefined || hash === undefined) return
    const stale = sum(this.#listStale(report, hashes, hash).values())
    if (stale === 0) return
    this.#state.to = this.#state.from
    this.#options.onNote(
      `${stale.toLocaleString('en')} objects are not under version ${String(this.#state.from)} yet; completing that rotation instead of starting another`,
    )
  }

  /** The state file holds the version before the rotation, so a run that was interrupted right after it does not rotate again. */
  async #rotate(signal: AbortSignal): Promise<void> {
    const { actions, onStep } = this.#options
    const { from, to } = this.#state
    if (to !== undefined) {
      onStep('rotate', `nothing to do: version ${String(to)} exists`)
      return
    }
    onStep('rotate', `creating the version after ${String(from)} in Vault`)
    // After an outage, the key shows whether Vault created the version before.
    const create = async () => {
      if ((await actions.readKey()).latestVersion === from) await actions.rotateKey()
    }
    await outlastOutage(create, this.#options, signal)
    this.#state.to = (await this.#readKey(signal)).latestVersion
  }

  async #wait(signal: AbortSignal): Promise<void> {
    const { actions, onStep } = this.#options
    const demand = await this.#demand(signal)
    onStep(
      'wait',
      `waiting until every plugin and API server uses version ${String(this.#state.to)}; an API server polls its plugin about once a minute`,
    )
    const judge = async () => judgeConvergence(await actions.read(), demand)
    const reasons = await waitForConvergence(judge, this.#options, signal)
    if (reasons !== undefined) throw notConverged(reasons)
  }

  async #rewrite(signal: AbortSignal): Promise<void> {
    const { actions, onStep } = this.#options
    onStep('rewrite', `rewriting everything under version ${String(this.#state.to)}`)
    await actions.rewrite(await this.#demand(signal), signal)
  }

  async #verify(signal: AbortSignal): Promise<void> {
    const { actions, onStep, onNote, file, accepted } = this.#options
    onStep('verify', 'reading what etcd holds')
    const report = await actions.reportEtcd(signal)
    if (report === undefined) {
      onNote(
        'nothing is proved without access to etcd; pass --endpoints, or run transit-bridge verify',
      )
      return
    }
    const demand = await this.#demand(signal)
    const { isReached, reasons, hashes } = judgeConvergence(await actions.read(), demand)
    if (!isReached) throw notConverged(reasons.join('; '))
    const left = acceptResources(report, accepted)
    const stale = this.#listStale(left, hashes, demand.wanted)
    for (const line of describeAccepted(report, accepted)) onNote(line)
    if (stale.size === 0 && left.ok) return
    this.#state.step = 'rewrite'
    await file.write(this.#state)
    const faults = [
      ...describeStale(stale, `not under version ${String(this.#state.to)}`),
      ...listFaults(left),
    ]
    throw new BridgeError(
      'NOT_FINISHED',
      `etcd holds objects that this rotation must not leave behind: ${faults.join('; ')}; transit-bridge verify lists them; run this command again to rewrite again, or pass --accept with the resources that may stay as they are`,
    )
  }

  /** Other KMS providers have their own keys: only this one rotates. */
  #listStale(report: Report, hashes: ReadonlyMap<string, string>, wanted: string | undefined) {
    const rotated = new Map([...hashes].filter(([, hash]) => hash === wanted))
    return listStale(report, { hashes: rotated, isTarget: this.#options.isTarget })
  }

  async #findNeeded(signal: AbortSignal): Promise<NeededVersions> {
    const { actions, onStep } = this.#options
    onStep('needed', 'determining which versions of the key are still needed')
    const report = await actions.reportEtcd(signal)
    // A run that continues at this step may be passed another etcd than the one that was verified.
    if (report !== undefined && report.gaps.length > 0)
      throw new BridgeError(
        'NOT_FINISHED',
        `the versions that etcd needs are not proved: ${report.gaps.join('; ')}; run this command again with the etcd of this cluster`,
      )
    return findNeeded(report, await actions.reportBackups(signal))
  }

  #readKey(signal: AbortSignal): Promise<AdministeredKey> {
    return outlastOutage(() => this.#options.actions.readKey(), this.#options, signal)
  }

  /** The key id that all must use. It is computed again each time: a key that was deleted and created again has other ids. */
  async #demand(signal: AbortSignal): Promise<Demand> {
    const { actions, demand, file } = this.#options
    const { to } = this.#state
    const key = await this.#readKey(signal)
    const hash = to === undefined ? undefined : actions.versionsOf(key).hashOf(to)
    if (hash === undefined || key.latestVersion !== to) {
      throw new BridgeError(
        'NOT_FINISHED',
        `the latest version of the key in Vault is ${String(key.latestVersion)}, but this rotation is to version ${String(to)}; remove ${file.path} and start again with --finish`,
      )
    }
    return { ...demand, wanted: hash }
  }
}

/** For a run that was complete except for its last step. */
export const FINISH_ADVICE =
  'the rotation itself is complete: run this command again with --finish; without --finish, it creates another key version'

function isAfter(one: RotationStep, other: RotationStep): boolean {
  return ROTATION_STEPS.indexOf(one) > ROTATION_STEPS.indexOf(other)
}

/** "2 of 7" */
export function number(step: RotationStep): string {
  return `${String(ROTATION_STEPS.indexOf(step) + 1)} of ${String(ROTATION_STEPS.length)}`
}

function usedVersions(reading: ClusterReading, versions: KeyVersions): readonly number[] {
  return reading.apiServers
    .filter((each) => !isSilent(each))
    .flatMap((each) => ('keys' in each ? [...each.keys.values()] : []))
    .flatMap(({ hash }) => versions.versionOf(hash) ?? [])
}

function unhealthyCluster(reasons: readonly string[]): BridgeError {
  return new BridgeError(
    'NOT_CONVERGED',
    `not rotating while the cluster is unhealthy: ${reasons.join('; ')}`,
  )
}

function foreignKey(): BridgeError {
  return new BridgeError(
    'NOT_CONVERGED',
    'no API server uses this key; check that --config is the configuration of this cluster (transit.key, kms.clusterId)',
  )
}

function readingOnly(): BridgeError {
  return new BridgeError(
    'NOT_CONVERGED',
    'no API server writes with this key; their EncryptionConfiguration uses the plugin only for reading: put the plugin first (transit-bridge config encryption --step write)',
  )
}

function notConverged(reasons: string): BridgeError {
  return new BridgeError(
    'NOT_FINISHED',
    `not every plugin and API server uses the new version: ${reasons}; fix that (a plugin reports why at /readyz, an API server at /readyz/kms-providers; restarting either is safe), then run this command again`,
  )
}

function sum(numbers: Iterable<number>): number {
  return [...numbers].reduce((all, each) => all + each, 0)
}
