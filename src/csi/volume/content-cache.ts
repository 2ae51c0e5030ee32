import type { CancelTimer, Clock } from '../../time/clock.ts'
import { FairCache } from '../fair-cache.ts'
import { copyFiles, zeroFiles, type ContentFile } from './content.ts'

/** A volume has at most 1 MiB (content.ts). See docs/design.md, "Memory bounds". */
const MAX_BYTES = 64 * 1024 * 1024
/**
 * The JavaScript heap that a volume and a file need in addition to the content. The heap is smaller than the memory for
 * content, so it counts eight times: the cache uses at most 8 MiB of it.
 */
const VOLUME_BYTES = 8 * 1024
const FILE_BYTES = 8 * 512
/** Three to five times the interval between two republishes of the kubelet (60 to 90 s; docs/design.md, "CSI content"). */
const IDLE_MS = 5 * 60_000

export interface ContentCacheOptions {
  /** How long content is cached (csi.revalidateAfter); with 0 the cache stays empty. */
  readonly maxAgeMs: number
  readonly clock: Clock
}

/** The secret files of a volume, by the index of their object, and when Vault returned them. */
export interface CachedContent {
  readonly files: ReadonlyMap<number, readonly ContentFile[]>
  /** Milliseconds of Clock.monotonic. */
  readonly fetchedAt: number
}

interface Kept extends CachedContent {
  askedAt: number
  cancelTimer: CancelTimer
}

/**
 * Caches decrypted content for republishes of the same volume; the cache key identifies pod, class and identity. Content is
 * zeroed after `maxAgeMs`, when Mounts of the volume stop, and when Vault refuses. The next Mount then asks Vault
 * (docs/design.md, "CSI content").
 */
export class ContentCache {
  readonly #options: ContentCacheOptions
  readonly #kept: FairCache<Kept>

  constructor(options: ContentCacheOptions) {
    this.#options = options
    this.#kept = new FairCache({ maxSize: MAX_BYTES, onLeave: wipe })
  }

  get size(): number {
    return this.#kept.size
  }

  /** Returns copies, which the caller owns and zeroes. */
  find(volume: string): CachedContent | undefined {
    const kept = this.#kept.get(volume)
    if (kept === undefined) return undefined
    const now = this.#options.clock.monotonic()
    // A timer can be late, for example after the host was suspended.
    if (now - kept.fetchedAt >= this.#options.maxAgeMs) {
      this.forget(volume)
      return undefined
    }
    kept.askedAt = now
    return { files: copyAll(kept.files), fetchedAt: kept.fetchedAt }
  }

  /** Stores copies, which count for the namespace of the pod. */
  keep(volume: string, content: CachedContent, owner: string): void {
    const { maxAgeMs, clock } = this.#options
    if (maxAgeMs === 0 || content.files.size === 0) return
    const files = copyAll(content.files)
    const bytes = [...files.values()]
      .flat()
      .reduce((sum, { contents }) => sum + FILE_BYTES + contents.byteLength, VOLUME_BYTES)
    const { fetchedAt } = content
    const askedAt = clock.monotonic()
    const kept: Kept = { files, fetchedAt, askedAt, cancelTimer: () => undefined }
    this.#kept.set(volume, kept, { owner, size: bytes })
    this.#watch(volume, kept)
  }

  /** Zeroes and removes the content of a volume. */
  forget(volume: string): void {
    this.#kept.delete(volume)
  }

  /** Zeroes and removes everything. */
  clear(): void {
    this.#kept.clear()
  }

  /** Zeroes content as soon as it expires rather than at the next request, so each entry has a timer. */
  #watch(volume: string, kept: Kept): void {
    const { maxAgeMs, clock } = this.#options
    const end = Math.min(kept.fetchedAt + maxAgeMs, kept.askedAt + IDLE_MS)
    const left = end - clock.monotonic()
    if (left <= 0) this.forget(volume)
    else kept.cancelTimer = clock.after(left, () => this.#watch(volume, kept))
  }
}

function wipe(kept: Kept): void {
  kept.cancelTimer()
  for (const files of kept.files.values()) zeroFiles(files)
}

function copyAll(
  files: ReadonlyMap<number, readonly ContentFile[]>,
): ReadonlyMap<number, readonly ContentFile[]> {
  return new Map([...files].map(([index, list]) => [index, copyFiles(list)]))
}
