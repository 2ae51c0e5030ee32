import type { ClusterStatus, KeyStatus, NodeStatus } from './cluster-status.ts'
import { shorten } from '../convergence/writers.ts'
import { escapeControls } from '../text/one-line.ts'
import { formatTable } from '../text/table.ts'
import { describeDuration } from '../time/duration.ts'
import type { StoredShare } from '../verify/stored-keys.ts'

/** The status as text. */
export function formatStatus(status: ClusterStatus, now: number): string {
  const { nodes, key, stored, faults } = status
  return [
    ...(key === undefined ? [] : [formatKey(key)]),
    ...formatTable([HEADER, ...nodes.map((node) => cellsOf(node, now))]),
    ...(stored === undefined ? [] : formatShares(stored)),
    ...faults.map((fault) => `problem: ${escapeControls(fault)}`),
    ...(faults.length === 0 ? ['no problems found'] : []),
  ].join('\n')
}

const HEADER = ['NODE', 'ADDRESS', 'KEY', 'VERSION', 'TOKEN', 'HEARD', 'HEALTH']

function cellsOf(node: NodeStatus, now: number): readonly string[] {
  const { kind, address, keyIdHash, keyVersion, tokenExpiresAt, heardSecondsAgo, health } = node
  return [
    kind,
    address,
    keyIdHash === undefined ? '-' : shorten(keyIdHash),
    keyVersion === undefined ? '-' : String(keyVersion),
    tokenExpiresAt === undefined ? '-' : describeLeft(Date.parse(tokenExpiresAt) - now),
    heardSecondsAgo === undefined ? '-' : `${String(heardSecondsAgo)} s ago`,
    health,
  ]
}

function formatKey(key: KeyStatus): string {
  const { name, latestVersion, minDecryptionVersion, rotatedAt, rotationDueAt, rotatedBy } = key
  const due =
    rotationDueAt === undefined
      ? 'no rotation is planned (--rotate-every, or auto_rotate_period in Vault)'
      : `next rotation due ${rotationDueAt}${rotatedBy === 'vault' ? ', by Vault' : ''}`
  const since = rotatedAt === undefined ? '' : ` since ${rotatedAt}`
  return `transit key ${name}: version ${String(latestVersion)}${since}, decrypts from version ${String(minDecryptionVersion)}; ${due}`
}

function formatShares(stored: readonly StoredShare[]): readonly string[] {
  const total = stored.reduce((sum, { objects }) => sum + objects, 0)
  const lines = stored.map(({ provider, keyVersion, keyIdHash, objects }) => {
    const share = total === 0 ? 0 : Math.floor((objects / total) * 100)
    const key = keyIdHash === undefined ? '' : `, key ${shorten(keyIdHash)}`
    const version = keyVersion === undefined ? '' : `, version ${String(keyVersion)}`
    return `  ${objects.toLocaleString('en')} (${String(share)} %) by ${escapeControls(provider)}${version}${key}`
  })
  return [`stored: ${total.toLocaleString('en')} objects that must be encrypted`, ...lines]
}

function describeLeft(ms: number): string {
  return ms <= 0 ? 'expired' : describeDuration(ms)
}
