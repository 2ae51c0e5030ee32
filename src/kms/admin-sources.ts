import type { AdminSources, Readiness } from '../admin/app.ts'
import type { GrpcServer } from '../grpc/server.ts'
import type { Clock } from '../time/clock.ts'
import type { KmsMetrics } from '../telemetry/metrics/roles.ts'
import { describeMoreMinutes } from '../time/duration.ts'
import { setOrRemove } from '../telemetry/metrics/definition.ts'
import { createMetricsRenderer } from '../telemetry/metrics/text.ts'
import type { VaultSession } from '../vault/session/session.ts'
import { describeSilence, type HealthState } from './health.ts'
import type { KmsPlugin, LocalKeysView } from './plugin.ts'

export interface KmsAdminOptions {
  readonly server: Pick<GrpcServer, 'isServing'>
  readonly plugin: Pick<KmsPlugin, 'watch' | 'health' | 'localKeys' | 'updateMetrics'>
  readonly session: Pick<VaultSession, 'tokenExpiresAt' | 'fault'>
  readonly clock: Clock
  readonly metrics: KmsMetrics
}

/** What the admin server reports about the KMS plugin. */
export function createKmsAdminSources(options: KmsAdminOptions): AdminSources {
  const { clock, metrics } = options
  return {
    isServing: () => options.server.isServing,
    readiness: () => readReadiness(options),
    renderMetrics: createMetricsRenderer(metrics.registry, clock, () => updateMetrics(options)),
  }
}

function readReadiness({ plugin, session, clock }: KmsAdminOptions): Readiness {
  const now = clock.monotonic()
  const state = plugin.health.state(now)
  const { snapshot } = plugin.watch
  const { tokenExpiresAt, fault } = session
  return {
    ready: state.healthy,
    reason: state.reason,
    message: describeState(state, plugin),
    details: {
      keyId: snapshot?.keyId,
      keyVersion: snapshot?.keyVersion,
      snapshotAgeSeconds: secondsBetween(snapshot?.takenAt, now),
      failingSeconds: secondsBetween(state.failingSince, now),
      vaultTokenExpiresAt: tokenExpiresAt === undefined ? undefined : isoTime(tokenExpiresAt),
      loginFault: fault?.message,
      localKeys: plugin.localKeys?.count,
      sealedFileFault: plugin.localKeys?.fileFault,
      offlineSecondsLeft: plugin.localKeys && plugin.localKeys.offlineLeftMs / 1000,
    },
  }
}

/** Status is "ok" while local keys serve; this message shows a person why Vault is not used. */
function describeState(
  { healthy, reason, failingSince, text }: HealthState,
  { health, localKeys }: KmsAdminOptions['plugin'],
): string {
  const leftMs = localKeys?.offlineLeftMs ?? 0
  if (!healthy || failingSince === undefined || leftMs === 0) return text
  return `ok: local keys encrypt for ${describeMoreMinutes(leftMs)} without Vault, which ${describeSilence(reason)}: ${health.failure?.message ?? ''}`
}

function secondsBetween(start: number | undefined, end: number): number | undefined {
  return start === undefined ? undefined : (end - start) / 1000
}

/** Undefined for a token that never expires. */
function isoTime(milliseconds: number): string | undefined {
  return Number.isFinite(milliseconds) ? new Date(milliseconds).toISOString() : undefined
}

/** What is not kept up to date between scrapes. */
function updateMetrics({ plugin, clock, metrics }: KmsAdminOptions): void {
  plugin.updateMetrics()
  const now = clock.monotonic()
  const { snapshot } = plugin.watch
  const ageMs = snapshot === undefined ? undefined : now - snapshot.takenAt
  setOrRemove(
    metrics.statusSnapshotTime,
    ageMs === undefined ? undefined : (clock.now() - ageMs) / 1000,
  )
  updateLocalKeys(plugin.localKeys, clock, metrics)
  const state = plugin.health.state(now)
  metrics.kmsHealthy.reset()
  metrics.kmsHealthy.set({ reason: state.reason }, state.healthy ? 1 : 0)
}

function updateLocalKeys(
  localKeys: LocalKeysView | undefined,
  clock: Clock,
  { localKeyCount, sealedFileUsable, offlineUntil }: KmsMetrics,
): void {
  setOrRemove(localKeyCount, localKeys?.count)
  const isUsable = localKeys?.hasFile === true ? localKeys.fileFault === undefined : undefined
  setOrRemove(sealedFileUsable, isUsable === undefined ? undefined : Number(isUsable))
  const leftMs = localKeys?.offlineLeftMs ?? 0
  setOrRemove(offlineUntil, leftMs === 0 ? undefined : (clock.now() + leftMs) / 1000)
}
