import type { Clock } from '../../time/clock.ts'
import { BridgeError } from '../../errors.ts'
import { logKey, type Logger } from '../../telemetry/log.ts'
import { setOrRemove } from '../../telemetry/metrics/definition.ts'
import type { VaultMetrics } from '../../telemetry/metrics/roles.ts'
import { readTlsFiles, type TlsContents, type TlsFiles } from './tls-files.ts'

/** How long the files are assumed to be unchanged. */
const CHECK_INTERVAL_MS = 5000

export type TlsMetrics = Pick<
  VaultMetrics,
  'caExpiry' | 'clientCertificateStart' | 'clientCertificateExpiry'
>

export interface TlsMaterialOptions {
  readonly files: TlsFiles
  readonly clock: Clock
  readonly log: Logger
  readonly metrics: TlsMetrics
}

/**
 * The TLS files as they are now. They are read again when they may have changed. The last valid contents stay in use
 * while a file is missing or invalid, which is normal for a moment while files are replaced.
 */
export class TlsMaterial {
  readonly #files: TlsFiles
  readonly #clock: Clock
  readonly #log: Logger
  readonly #metrics: TlsMetrics
  #contents: TlsContents | undefined
  #version = 0
  #checkedAt = Number.NEGATIVE_INFINITY
  #problem: BridgeError | undefined
  #reading: Promise<void> | undefined
  #queued: Promise<void> | undefined

  constructor({ files, clock, log, metrics }: TlsMaterialOptions) {
    this.#files = files
    this.#clock = clock
    this.#log = log
    this.#metrics = metrics
  }

  /** Undefined until the files were valid once. */
  get contents(): TlsContents | undefined {
    return this.#contents
  }

  /** Grows with each change of the contents; 0 while there are none. */
  get version(): number {
    return this.#version
  }

  /** The problem found when the files were last read. */
  get problem(): BridgeError | undefined {
    return this.#problem
  }

  /** Reads the files in the background, unless they were just read. */
  checkSoon(now: number): void {
    if (now - this.#checkedAt < CHECK_INTERVAL_MS) return
    this.#checkedAt = now
    void this.refresh()
  }

  /** Reads the files as they are now or later; resolves when that is done, even if it failed. */
  refresh(): Promise<void> {
    if (this.#queued !== undefined) return this.#queued
    if (this.#reading === undefined) return (this.#reading = this.#read())
    // The current read may have seen the files before they changed, so another one follows.
    this.#queued = this.#reading.then(() => {
      this.#queued = undefined
      return (this.#reading = this.#read())
    })
    return this.#queued
  }

  async #read(): Promise<void> {
    this.#checkedAt = this.#clock.monotonic()
    try {
      this.#accept(await readTlsFiles(this.#files))
    } catch (error) {
      this.#warn(BridgeError.from(error))
    } finally {
      this.#reading = undefined
    }
  }

  #accept(contents: TlsContents): void {
    const before = this.#contents
    const changed =
      contents.ca !== before?.ca || contents.cert !== before?.cert || contents.key !== before?.key
    if (before !== undefined && (changed || this.#problem !== undefined)) {
      this.#log.info(changed ? 'tls files were replaced' : 'tls files are valid again')
    }
    this.#problem = undefined
    if (before !== undefined && !changed) return
    this.#contents = contents
    this.#version += 1
    const { caExpiry, clientCertificateStart, clientCertificateExpiry } = this.#metrics
    setOrRemove(caExpiry, toSeconds(contents.caExpiresAt))
    setOrRemove(clientCertificateStart, toSeconds(contents.certStartsAt))
    setOrRemove(clientCertificateExpiry, toSeconds(contents.certExpiresAt))
  }

  #warn(problem: BridgeError): void {
    const known = this.#problem?.message === problem.message
    this.#problem = problem
    if (known) return
    const kept = this.#contents === undefined ? '' : '; what was read before stays in use'
    this.#log.warn(
      { [logKey.code]: problem.code, [logKey.reason]: problem.message },
      `tls files cannot be used${kept}`,
    )
  }
}

function toSeconds(milliseconds: number | undefined): number | undefined {
  return milliseconds === undefined ? undefined : milliseconds / 1000
}
