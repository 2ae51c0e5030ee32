import type { NeededVersions } from './rotation.ts'
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
  const next = (name: RotationState['step']) => (name === step ? '> ' : '  ')
  return [
    `transit key ${key.name}: version ${String(key.latestVersion)}, decrypts from version ${String(key.minDecryptionVersion)}`,
    `${next('check')}1 check: plugins, API servers and key must be well and agree`,
    `${next('rotate')}2 rotate: version ${target} is made in vault${to === undefined ? '' : ' (it is)'}`,
    `${next('wait')}3 wait: until every plugin and API server uses version ${target}, minutes at most`,
    `${next('rewrite')}4 rewrite: every object that is not under version ${target}`,
    `${next('verify')}5 verify: ${readsEtcd ? 'by etcd' : 'left out without --endpoints'}`,
    `${next('needed')}6 needed: the oldest version that etcd and each --backup need`,
    `${next('raise')}7 raise: min_decryption_version, only if you say so`,
    'nothing was changed',
  ].join('\n')
}

/** Which versions of the key must stay. */
export function formatNeeded({ live, backups }: NeededVersions): string {
  return [
    live === undefined
      ? 'etcd was not read, so it is not known which versions its objects need'
      : `etcd needs version ${String(live)} and newer`,
    ...backups.map(({ file, oldest }) =>
      oldest === undefined
        ? `${file} needs no version of the key`
        : `${file} needs version ${String(oldest)} and newer`,
    ),
  ].join('\n')
}
