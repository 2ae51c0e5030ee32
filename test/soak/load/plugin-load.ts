import { setTimeout as sleep } from 'node:timers/promises'
import { isRefused, mustSucceed, type Calls } from './calls.ts'
import { changeData } from './changed-data.ts'
import type { Findings } from '../watch/findings.ts'
import { OBJECTS } from './handed-out.ts'
import type { PluginMember } from '../members/plugin-member.ts'
import type { Random } from '../random.ts'
import { RefusalStreak } from './refusal-streak.ts'
import type { World } from '../members/world.ts'

const STATUS_PAUSE_MS = 500
/** Of the plugin's check of the key (kms/key-watch.ts). */
const CHECK_TIMEOUT_MS = 8_000
/** Longer than a plugin needs to see that a version is disabled (kms.refreshInterval is 1 s here). */
const DISABLED_AFTER_MS = 15_000

export interface LoadContext {
  readonly calls: Calls
  readonly findings: Findings
  readonly signal: AbortSignal
}

/** The calls of an API server, with some that no API server makes. */
export class PluginLoad {
  readonly #member: PluginMember
  readonly #store: Pick<World, 'handedOut' | 'versions'>
  readonly #context: LoadContext
  readonly #streak: RefusalStreak

  constructor(
    member: PluginMember,
    store: Pick<World, 'handedOut' | 'versions'>,
    context: LoadContext,
  ) {
    this.#member = member
    this.#store = store
    this.#context = context
    this.#streak = new RefusalStreak(member.name, context.findings)
  }

  async run(random: Random, { callers, perSecond }: { callers: number; perSecond: number }) {
    const meanMs = (callers * 1000) / perSecond
    await Promise.all([
      this.#repeatStatus(),
      ...Array.from({ length: callers }, (_none, caller) =>
        this.#repeatCalls(random.fork(String(caller)), meanMs),
      ),
    ])
  }

  async #repeatCalls(random: Random, meanMs: number): Promise<void> {
    while (!this.#context.signal.aborted) {
      await sleep(random.pauseMs(meanMs))
      await this.#callOnce(random)
    }
  }

  async #callOnce(random: Random): Promise<void> {
    const member = this.#member
    const drawn = random.next()
    if (drawn < 0.3) {
      const object = random.between(0, OBJECTS)
      const run = () => this.#encrypt(object)
      await this.#context.calls.make({ member, what: 'Encrypt', needs: 'local keys', run })
      return
    }
    const record = this.#store.handedOut.pick(random)
    if (record === undefined) return
    const isDisabled = () => record.version < this.#store.versions.minDecryption
    const run = () => member.apiServer.decrypt(record)
    if (isDisabled()) await this.#decryptDisabled(run)
    else if (drawn < 0.9)
      await this.#context.calls.make({ member, what: 'Decrypt', run, isExcused: isDisabled })
    else await this.#decryptChanged(record.seed, random)
  }

  async #encrypt(object: number): Promise<void> {
    try {
      await this.#member.apiServer.encrypt(object)
      this.#streak.noteEncrypt('other')
    } catch (error) {
      this.#streak.noteEncrypt(isRefused(error) ? 'refused' : 'other')
      throw error
    }
  }

  async #decryptChanged(seed: Parameters<typeof changeData>[0], random: Random): Promise<void> {
    const member = this.#member
    const other = this.#store.handedOut.pick(random)
    const changed = other && changeData(seed, other.seed, random)
    if (changed === undefined) return
    const run = () => member.apiServer.decryptSeed(changed)
    await this.#context.calls.makeForbidden({ member, what: 'Decrypt of changed data', run })
  }

  /** Data of a version that `min_decryption_version` disables: it may be refused, and after a while it must be. */
  async #decryptDisabled(decrypt: () => Promise<void>): Promise<void> {
    const member = this.#member
    const sinceMs = performance.now() - this.#store.versions.raisedAt
    const mustFail =
      sinceMs > DISABLED_AFTER_MS && member.condition.settledForMs > DISABLED_AFTER_MS
    const what = 'Decrypt of a disabled version'
    const call = { member, what, run: decrypt }
    if (!mustFail) {
      // It fails for a good reason, even though no fault concerns the plugin.
      await this.#context.calls.makeOptional(call)
      return
    }
    await this.#context.calls.makeForbidden(call)
  }

  async #repeatStatus(): Promise<void> {
    const member = this.#member
    while (!this.#context.signal.aborted) {
      await sleep(STATUS_PAUSE_MS)
      const mark = member.condition.mark()
      const call = {
        member,
        what: 'Status',
        needs: 'local keys',
        run: () => member.apiServer.status(),
      } as const
      const healthz = await this.#context.calls.make(call)
      if (healthz !== undefined) this.#streak.noteStatus(healthz)
      if (healthz === undefined || healthz === 'ok') continue
      if (isOfEarlierCheck(healthz, member.condition.settledForMs)) continue
      const promised = member.condition.promisedSince(mark)
      if (mustSucceed(promised, member, 'local keys'))
        this.#context.findings.add('Status', `${member.name}: no fault explains "${healthz}"`)
    }
  }
}

/** Whether Status is that of a check that began during a fault, read the key after it, and then had no time left for its proof. */
function isOfEarlierCheck(healthz: string, settledForMs: number): boolean {
  return healthz === 'Vault did not answer within 8 s' && settledForMs < CHECK_TIMEOUT_MS
}
