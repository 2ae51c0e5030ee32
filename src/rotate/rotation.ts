import type { Clock } from '../time/clock.ts'
import { BridgeError, isOutage } from '../errors.ts'
import type { AdministeredKey } from '../operator/key-admin.ts'
import { wait } from '../time/wait.ts'
import { isSilent } from '../convergence/api-server-view.ts'
import { judgeConvergence, type ClusterReading, type Demand } from '../convergence/convergence.ts'
import type { KeyVersions } from '../storage/key-versions.ts'
import type { Report } from '../verify/report.ts'
import { ROTATION_STEPS, type RotationState, type RotationStep } from './state.ts'
import type { StateFile } from '../files/state-file.ts'
import { countStale, oldestVersion } from '../verify/stored-keys.ts'

/** What a rotation does to the world, each thing by itself. */
export interface RotationActions {
  readKey(): Promise<AdministeredKey>
  versionsOf(key: AdministeredKey): KeyVersions
  rotateKey(): Promise<void>
  read(): Promise<ClusterReading>
  /** Rewrites all that is not under the key that is demanded. */
  rewrite(demand: Demand, signal: AbortSignal): Promise<void>
  /** What etcd holds; undefined where it may not be read. */
  reportEtcd(signal: AbortSignal): Promise<Report | undefined>
  /** What each backup that is to stay readable holds. */
  reportBackups(signal: AbortSignal): Promise<readonly { file: string; report: Report }[]>
  /** Asks whether versions below this one may be given up, and does so; tells what it did. */
  raise(needed: NeededVersions): Promise<void>
}

/** The Transit key versions without which something cannot be read. */
export interface NeededVersions {
  /** By what etcd holds; undefined if it was not read. */
  readonly live?: number
  readonly backups: readonly { readonly file: string; readonly oldest: number | undefined }[]
}

export interface RotationOptions {
  readonly actions: RotationActions
  readonly state: RotationState
  readonly file: StateFile<typeof RotationState>
  /** Whether the latest version is taken as it is, without another rotation. */
  readonly finishOnly: boolean
  readonly configsMayDiffer: boolean
  /** How long API servers are waited for (milliseconds). */
  readonly patience: number
  readonly clock: Clock
  readonly onStep: (step: RotationStep, words: string) => void
  readonly onNote: (words: string) => void
}

const POLL = 2_000
/** While nothing changes, it is said again what is waited for. */
const REMIND = 60_000

/** The whole rotation. Each step is done again if the program was ended in it, and doing it again does no harm. */
export class Rotation {
  readonly #options: RotationOptions
  readonly #state: RotationState

  constructor(options: RotationOptions) {
    this.#options = options
    this.#state = options.state
  }

  /** Throws CANCELLED when the signal is aborted, NOT_CONVERGED or NOT_FINISHED with what to do; a later run goes on. */
  async run(signal: AbortSignal): Promise<NeededVersions> {
    const { file, onNote } = this.#options
    if (this.#state.step !== 'check')
      onNote(
        `goes on with the rotation of ${this.#state.startedAt}, at step ${number(this.#state.step)}`,
      )
    await this.#doUntil('rotate', () => this.#check(signal))
    await this.#doUntil('wait', () => this.#rotate(signal))
    await this.#doUntil('rewrite', () => this.#wait(signal))
    await this.#doUntil('verify', () => this.#rewrite(signal))
    await this.#doUntil('needed', () => this.#verify(signal))
    const needed = await this.#findNeeded(signal)
    this.#options.onStep('raise', 'older versions of the key are given up only if you say so')
    try {
      await this.#options.actions.raise(needed)
    } catch (error) {
      // The rotation is over all the same: the next one must not be taken for a rest of this one.
      if (BridgeError.from(error).code === 'NOT_FINISHED') await file.remove()
      throw error
    }
    await file.remove()
    return needed
  }

  /** Does the step in front of `next`, unless an earlier run did it. */
  async #doUntil(next: RotationStep, work: () => Promise<void>): Promise<void> {
    if (ROTATION_STEPS.indexOf(this.#state.step) >= ROTATION_STEPS.indexOf(next)) return
    await work()
    this.#state.step = next
    await this.#options.file.write(this.#state)
  }

  /** A cluster that is not well is no place to begin; whether it was rotated already shows here, too. */
  async #check(signal: AbortSignal): Promise<void> {
    const { actions, onStep, configsMayDiffer, finishOnly } = this.#options
    onStep('check', 'are plugins, API servers and key well, and do they agree')
    const reading = await actions.read()
    const { isReached, reasons } = judgeConvergence(reading, { configsMayDiffer })
    const versions = actions.versionsOf(await this.#readKey(signal))
    const used = usedVersions(reading, versions)
    const isBehind = used.some((version) => version < this.#state.from)
    if (finishOnly || isBehind) {
      this.#state.to = this.#state.from
      this.#options.onNote(
        `the key was rotated to version ${String(this.#state.from)} already; that rotation is finished, and no other begun`,
      )
      return
    }
    if (!isReached) throw notWell(reasons)
    if (used.length === 0) throw foreignKey()
    await this.#noticeUnfinished(versions, signal)
  }

  /** Data under an older key, though every API server writes with the latest: a rotation that nobody finished. */
  async #noticeUnfinished(versions: KeyVersions, signal: AbortSignal): Promise<void> {
    const hash = versions.hashOf(this.#state.from)
    const report = await this.#options.actions.reportEtcd(signal)
    if (report === undefined || hash === undefined) return
    const stale = countStale(report, new Set([hash]))
    if (stale === 0) return
    this.#state.to = this.#state.from
    this.#options.onNote(
      `${stale.toLocaleString('en')} objects are not under version ${String(this.#state.from)} yet, so that rotation is finished, and no other begun`,
    )
  }

  /** The file has the version from before, so a key that was rotated just before the end of a run is not rotated again. */
  async #rotate(signal: AbortSignal): Promise<void> {
    const { actions, onStep } = this.#options
    const { from, to } = this.#state
    if (to !== undefined) {
      onStep('rotate', `nothing to do: version ${String(to)} is to be used`)
      return
    }
    onStep('rotate', `version ${String(from)} of the key is followed by another in vault`)
    if ((await this.#readKey(signal)).latestVersion === from) await actions.rotateKey()
    this.#state.to = (await this.#readKey(signal)).latestVersion
  }

  async #wait(signal: AbortSignal): Promise<void> {
    const { actions, clock, patience, onStep, onNote } = this.#options
    const demand = await this.#demand(signal)
    onStep(
      'wait',
      `every plugin and API server is to use version ${String(this.#state.to)}; an API server asks its plugin once a minute at least`,
    )
    const startedAt = clock.monotonic()
    let told = ''
    let toldAt = startedAt
    for (;;) {
      const { isReached, reasons } = judgeConvergence(await actions.read(), demand)
      if (isReached) return
      const now = clock.monotonic()
      const text = reasons.join('; ')
      if (now - startedAt > patience) throw notConverged(text)
      if (text !== told || now - toldAt > REMIND) onNote(`waits: ${text}`)
      if (text !== told || now - toldAt > REMIND) toldAt = now
      told = text
      await wait(POLL, clock, signal)
      if (signal.aborted) throw new BridgeError('CANCELLED', 'stopped as asked')
    }
  }

  async #rewrite(signal: AbortSignal): Promise<void> {
    const { actions, onStep } = this.#options
    onStep('rewrite', `everything is written anew under version ${String(this.#state.to)}`)
    await actions.rewrite(await this.#demand(signal), signal)
  }

  async #verify(signal: AbortSignal): Promise<void> {
    const { actions, onStep, onNote, file } = this.#options
    onStep('verify', 'what does etcd hold')
    const report = await actions.reportEtcd(signal)
    if (report === undefined) {
      onNote('etcd is not read (--endpoints), so nothing is proven; transit-bridge verify does it')
      return
    }
    const { wanted } = await this.#demand(signal)
    const stale = countStale(report, new Set(wanted === undefined ? [] : [wanted]))
    if (stale === 0 && report.ok) return
    this.#state.step = 'rewrite'
    await file.write(this.#state)
    throw new BridgeError(
      'NOT_FINISHED',
      `etcd holds ${stale.toLocaleString('en')} objects that are not under version ${String(this.#state.to)}, ${String(report.plain)} plain and ${String(report.unreadable)} unreadable ones; transit-bridge verify names them, and the same command rewrites again`,
    )
  }

  async #findNeeded(signal: AbortSignal): Promise<NeededVersions> {
    const { actions, onStep } = this.#options
    onStep('needed', 'which versions of the key are still needed')
    const report = await actions.reportEtcd(signal)
    const live = report === undefined ? undefined : oldestVersion(report)
    const backups = await actions.reportBackups(signal)
    return {
      ...(live === undefined ? {} : { live }),
      backups: backups.map(({ file, report: held }) => ({ file, oldest: oldestVersion(held) })),
    }
  }

  /** An outage of Vault is waited for: it passes, and what was done so far stays right. */
  async #readKey(signal: AbortSignal): Promise<AdministeredKey> {
    const { actions, clock, patience, onNote } = this.#options
    const startedAt = clock.monotonic()
    for (let isTold = false; ; isTold = true) {
      if (signal.aborted) throw new BridgeError('CANCELLED', 'stopped as asked')
      try {
        return await actions.readKey()
      } catch (thrown) {
        const error = BridgeError.from(thrown)
        if (!isOutage(error) || clock.monotonic() - startedAt > patience) throw error
        if (!isTold) onNote(`waits for vault: ${error.message}`)
        await wait(POLL, clock, signal)
      }
    }
  }

  /** The key that everybody is to use. Read anew: a key that was deleted and made again has other ids. */
  async #demand(signal: AbortSignal): Promise<Demand> {
    const { actions, configsMayDiffer, file } = this.#options
    const { to } = this.#state
    const key = await this.#readKey(signal)
    const hash = to === undefined ? undefined : actions.versionsOf(key).hashOf(to)
    if (hash === undefined || key.latestVersion !== to) {
      throw new BridgeError(
        'NOT_FINISHED',
        `vault has version ${String(key.latestVersion)} of the key as its latest, and this rotation is to version ${String(to)}; remove ${file.path} and begin anew with --finish`,
      )
    }
    return { wanted: hash, configsMayDiffer }
  }
}

/** The place of a step, as a person counts. */
export function number(step: RotationStep): string {
  return `${String(ROTATION_STEPS.indexOf(step) + 1)} of ${String(ROTATION_STEPS.length)}`
}

function usedVersions(reading: ClusterReading, versions: KeyVersions): readonly number[] {
  return reading.apiServers
    .filter((each) => !isSilent(each))
    .flatMap((each) => ('keys' in each ? [...each.keys.values()] : []))
    .flatMap(({ hash }) => versions.versionOf(hash) ?? [])
}

function notWell(reasons: readonly string[]): BridgeError {
  return new BridgeError(
    'NOT_CONVERGED',
    `nothing is rotated while the cluster is not well: ${reasons.join('; ')}`,
  )
}

function foreignKey(): BridgeError {
  return new BridgeError(
    'NOT_CONVERGED',
    'no API server uses this key; is --config the configuration of this cluster (transit.key, kms.clusterId)',
  )
}

function notConverged(reasons: string): BridgeError {
  return new BridgeError(
    'NOT_FINISHED',
    `not every plugin and API server uses the new version: ${reasons}; mend that (a plugin says why at /readyz, an API server at /readyz/kms-providers; restarting either is safe), then run the same command again`,
  )
}
