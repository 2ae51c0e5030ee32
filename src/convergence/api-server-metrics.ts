import type { KubeClient } from '../kube/client.ts'
import { readSample, type MetricSample } from '../kube/metric-sample.ts'

/** The key id that an API server last received from a KMS v2 plugin. */
export interface SeenKey {
  /** `sha256:<hex>` of the key id. */
  readonly hash: string
  /** Time since the plugin last reported it, by the API server's clock. */
  readonly ageSeconds: number
  /** When the plugin last reported it. */
  readonly at?: number | undefined
}

/** The last time that an API server encrypted an object with a key of a KMS v2 plugin. */
export interface SeenWrite {
  readonly provider: string
  /** `sha256:<hex>` of the key id. */
  readonly hash: string
  /** Seconds since 1970. */
  readonly at: number
}

/** What the metrics of one API server contain. All times are seconds since 1970, by its own clock. */
export interface ApiServerMetrics {
  /** By name of the KMS provider. */
  readonly keys: ReadonlyMap<string, SeenKey>
  /** By provider and key. A restart of the API server empties it. */
  readonly writes?: readonly SeenWrite[] | undefined
  /** Of the EncryptionConfiguration in use; undefined before Kubernetes 1.34 and without automatic reload. */
  readonly configHash?: string | undefined
  /** The hash of its identity, which is made from its host name; undefined without KMS v2 and without automatic reload. */
  readonly id?: string | undefined
  /** When its process started. */
  readonly startedAt?: number | undefined
  /** When it last loaded another EncryptionConfiguration without a restart; undefined if it never did. */
  readonly reloadedAt?: number | undefined
  readonly readAt?: number | undefined
}

// apiserver: pkg/storage/value/encrypt/envelope/metrics/metrics.go, pkg/server/options/encryptionconfig/metrics/metrics.go
const STATUS = 'apiserver_envelope_encryption_key_id_hash_status_last_timestamp_seconds'
const USE = 'apiserver_envelope_encryption_key_id_hash_last_timestamp_seconds'
const CONFIG = 'apiserver_encryption_config_controller_last_config_info'
const RELOAD = 'apiserver_encryption_config_controller_automatic_reload_last_timestamp_seconds'
// component-base: metrics/processstarttime.go
const START = 'process_start_time_seconds'

/** Reads /metrics over a new connection, so that a load balancer chooses again. */
export async function readMetrics(client: KubeClient): Promise<ApiServerMetrics> {
  const { lines, time } = await client.lines('/metrics')
  const found = new Collected()
  for await (const line of lines) found.add(line)
  return found.conclude((time ?? Date.now()) / 1000)
}

class Collected {
  readonly #newest = new Map<string, { readonly hash: string; readonly at: number }>()
  readonly #writes: SeenWrite[] = []
  readonly #configHashes = new Set<string>()
  readonly #ids = new Set<string>()
  #startedAt: number | undefined
  #reloadedAt: number | undefined

  add(line: string): void {
    if (!line.startsWith('apiserver_en') && !line.startsWith(START)) return
    this.#addStatus(readSample(line, STATUS))
    this.#addUse(readSample(line, USE))
    const config = readSample(line, CONFIG)
    addLabel(this.#configHashes, config, 'hash')
    addLabel(this.#ids, config, 'apiserver_id_hash')
    const reload = readSample(line, RELOAD)
    if (reload?.labels['status'] === 'success') this.#reloadedAt = reload.value
    this.#startedAt = readSample(line, START)?.value ?? this.#startedAt
  }

  conclude(now: number): ApiServerMetrics {
    const keys = [...this.#newest].map(
      ([provider, { hash, at }]) =>
        [provider, { hash, at, ageSeconds: Math.max(0, now - at) }] as const,
    )
    return {
      keys: new Map(keys),
      writes: this.#writes,
      // Two of them prove neither.
      configHash: onlyOf(this.#configHashes),
      id: onlyOf(this.#ids),
      startedAt: this.#startedAt,
      reloadedAt: this.#reloadedAt,
      readAt: now,
    }
  }

  #addStatus(sample: MetricSample | undefined): void {
    if (sample === undefined) return
    const { provider_name: provider = '', key_id_hash: hash = '' } = sample.labels
    const known = this.#newest.get(provider)
    if (known === undefined || sample.value > known.at)
      this.#newest.set(provider, { hash, at: sample.value })
    addLabel(this.#ids, sample, 'apiserver_id_hash')
  }

  #addUse(sample: MetricSample | undefined): void {
    if (sample?.labels['transformation_type'] !== 'to_storage') return
    const { provider_name: provider = '', key_id_hash: hash = '' } = sample.labels
    this.#writes.push({ provider, hash, at: sample.value })
  }
}

function addLabel(values: Set<string>, sample: MetricSample | undefined, name: string): void {
  const value = sample?.labels[name]
  if (value !== undefined && value !== '') values.add(value)
}

function onlyOf(values: ReadonlySet<string>): string | undefined {
  const [value] = values
  return values.size === 1 ? value : undefined
}
