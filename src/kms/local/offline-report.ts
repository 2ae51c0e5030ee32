import { describeCount } from '../../text/count.ts'
import { describeDuration } from '../../time/duration.ts'
import type { Clock } from '../../time/clock.ts'
import { formatUtc } from '../../time/utc.ts'
import type { LimitEnd, OfflineLimit } from './offline-limit.ts'

export interface OfflineReportOptions {
  readonly limit: Pick<OfflineLimit, 'encryptLeftMs' | 'decryptLeftMs' | 'ageMs'>
  /** How many local keys there are. */
  readonly count: () => number
  /** kms.localKeys.sealedFile */
  readonly sealedFile: string | undefined
  readonly clock: Pick<Clock, 'now'>
  readonly log: Readonly<Record<'info' | 'warn' | 'error', (message: string) => void>>
}

/** Reports what becomes of local keys without Vault: in the log, and in Status once they no longer encrypt. */
export class OfflineReport {
  readonly #options: OfflineReportOptions
  #isOver = false
  #isFileMissing = false

  constructor(options: OfflineReportOptions) {
    this.#options = options
  }

  /** Why local keys are of no more help; undefined while they encrypt, or if there were none. */
  get note(): string | undefined {
    const { limit, count } = this.#options
    if (this.#isOver)
      return 'local keys are gone, because Vault has not agreed for longer than 1.25 times kms.localKeys.offlineFor; only Vault can decrypt now'
    const onlyDecrypts = count() > 0 && limit.encryptLeftMs === 0 && limit.decryptLeftMs > 0
    if (!onlyDecrypts) return undefined
    return `local keys no longer encrypt, because Vault has not agreed for longer than kms.localKeys.offlineFor; they decrypt until ${this.#decryptUntil}`
  }

  get #decryptUntil(): string {
    const { limit, clock } = this.#options
    const now = clock.now()
    return formatUtc(now + limit.decryptLeftMs, now)
  }

  /** Vault agreed. */
  agree(): void {
    this.#isOver = false
    this.#isFileMissing = false
  }

  /** Local keys were read from the sealed file. */
  restore(): void {
    const { limit, count, log } = this.#options
    const age = `Vault last answered ${describeDuration(limit.ageMs ?? 0)} ago`
    const what = `${describeCount(count(), 'local key')} restored from the sealed file; ${age}`
    if (limit.encryptLeftMs > 0) return log.info(what)
    log.warn(
      `${what}, longer than kms.localKeys.offlineFor, so they only decrypt, until ${this.#decryptUntil}`,
    )
  }

  /** The plugin starts without a sealed file. At its first start that is normal, as long as Vault answers. */
  missFile(): void {
    this.#isFileMissing = true
  }

  /** Vault did not answer, or could not be asked. */
  missVault(): void {
    if (!this.#isFileMissing) return
    this.#isFileMissing = false
    const { sealedFile, log } = this.#options
    log.warn(
      `kms.localKeys.sealedFile: there is no sealed file at ${String(sealedFile)}, so this plugin needs Vault to start; if this is not its first start, the file was removed: after a refusal by Vault, at the end of kms.localKeys.offlineFor, or by a person`,
    )
  }

  /** Local keys no longer encrypt. */
  endEncrypt(): void {
    const { limit, log } = this.#options
    const { note } = this
    if (note === undefined) return
    log.warn(`${note}; Vault last answered ${describeDuration(limit.ageMs ?? 0)} ago`)
  }

  /** Every local key is about to be zeroed. */
  end({ why, ageMs }: LimitEnd): void {
    const { count, sealedFile, log } = this.#options
    // Vault repeats a refusal, and local keys that it did not agree to were of no use.
    const hadKeys = ageMs !== undefined && count() > 0
    this.#isOver = why === 'time' && hadKeys
    this.#isFileMissing = false
    if (!hadKeys) return
    const reason =
      why === 'refusal'
        ? 'Vault refused'
        : `Vault last answered ${describeDuration(ageMs)} ago, longer than 1.25 times kms.localKeys.offlineFor`
    const file = sealedFile === undefined ? '' : ` and removing the sealed file ${sealedFile}`
    const what = describeCount(count(), 'local key')
    log.error(`zeroing ${what}${file}: ${reason}; only Vault can decrypt now`)
  }
}
