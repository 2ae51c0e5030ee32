import type { NeededVersions } from './needed-versions.ts'
import type { RotationState } from './state.ts'
import type { AdministeredKey } from '../operator/key-admin.ts'

/** What --plan prints. */
export function formatRotationPlan(
  state: RotationState,
  key: AdministeredKey,
  readsEtcd: boolean,
): string {
  const { step, from, to } = state
  const target = String(to ?? from + 1)
  const withEtcd = (words: string) => (readsEtcd ? words : 'skipped without --endpoints')
  const next = (name: RotationState['step']) => (name === step ? '> ' : '  ')
  return [
    `transit key ${key.name}: version ${String(key.latestVersion)}, decrypts from version ${String(key.minDecryptionVersion)}`,
    `${next('check')}1 check: plugins and API servers must be healthy and use the same key`,
    `${next('rotate')}2 rotate: create version ${target} in Vault${to === undefined ? '' : ' (done)'}`,
    `${next('wait')}3 wait: until every plugin and API server uses version ${target} (a few minutes)`,
    `${next('rewrite')}4 rewrite: every object that is not under version ${target}`,
    `${next('verify')}5 verify: ${withEtcd('read what etcd holds')}`,
    `${next('needed')}6 needed: ${withEtcd('find the oldest version that etcd and each --backup need')}`,
    `${next('raise')}7 raise: ${withEtcd('raise min_decryption_version, only after confirmation')}`,
    'no changes made',
  ].join('\n')
}

/** Which versions of the key must be kept. */
export function formatNeeded({ live, backups }: NeededVersions): string {
  return [
    live === undefined
      ? 'etcd was not read, so the versions that its objects need are unknown'
      : `etcd needs version ${String(live)} and newer`,
    ...backups.flatMap(({ file, isOther, oldest, gaps }) => [
      oldest === undefined
        ? `${file} needs no version of the key`
        : `${file}${isOther === true ? ' (another cluster)' : ''} needs version ${String(oldest)} and newer`,
      ...gaps.map((gap) => `not proved for ${file}: ${gap}`),
    ]),
  ].join('\n')
}
