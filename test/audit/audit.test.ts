import { test } from 'tap'

import { readAuditEntry } from '../../src/audit/entry.ts'
import { AuditJoin } from '../../src/audit/join.ts'
import { AuditTally } from '../../src/audit/summary.ts'
import { formatAudit } from '../../src/audit/text.ts'
import { readPluginCall } from '../../src/audit/plugin-call.ts'

const UID = '00000000-0000-4000-8000-000000000001'

function line(
  type: string,
  id: string,
  path: string,
  more: { uid?: string; error?: string; address?: string; operation?: string } = {},
) {
  const { uid, error, address = '10.0.0.1', operation = 'update' } = more
  const headers = uid === undefined ? null : { 'x-transit-bridge-uid': [uid] }
  return {
    type,
    time: '2026-01-01T00:00:00Z',
    auth: { display_name: 'jwt-plugin' },
    request: { id, path, operation, remote_address: address, headers },
    ...(error === undefined ? {} : { error }),
  }
}

void test('lines about a key are recognized, with what they do', (t) => {
  const of = (path: string, operation?: string) =>
    readAuditEntry(line('request', '1', path, operation === undefined ? {} : { operation }))
  t.match(of('team/transit/decrypt/k'), { mount: 'team/transit', key: 'k', action: 'decrypt' })
  t.match(of('transit/datakey/plaintext/k'), { key: 'k', action: 'datakey' })
  t.match(of('transit/export/encryption-key/k/3'), { key: 'k', action: 'export' })
  t.match(of('transit/keys/k', 'read'), { action: 'read' })
  t.match(of('transit/keys/k/rotate'), { action: 'rotate' })
  t.equal(of('auth/jwt/login'), undefined)
  t.equal(readAuditEntry({ level: 'info' }), undefined)
  t.equal(
    readAuditEntry({
      ...line('request', '1', 'kv/decrypt/k'),
      request: { id: '1', path: 'kv/decrypt/k', mount_type: 'kv' },
    }),
    undefined,
  )
  t.end()
})

void test('uses are joined by uid: of plugins, their checks, verify, and unknown callers', (t) => {
  const join = new AuditJoin()
  const call = readPluginCall({ uid: UID, method: 'Decrypt', code: 'OK', level: 'debug' })
  if (call !== undefined) join.addCall('node-1.log', call)
  const tally = new AuditTally()
  const check = `check-${UID}`
  const seen = [
    line('request', 'a', 'transit/decrypt/k', { uid: UID }),
    line('response', 'a', 'transit/decrypt/k', { uid: UID }),
    line('response', 'b', 'transit/decrypt/k', { uid: check }),
    line('response', 'c', 'transit/decrypt/k', { uid: check, address: '10.6.6.6' }),
    line('response', 'd', 'transit/decrypt/k', {
      uid: `${UID},00000000-0000-4000-8000-000000000002`,
    }),
    line('response', 'e', 'transit/decrypt/k', { uid: `verify-${UID}` }),
    line('response', 'h', 'transit/decrypt/k', { uid: `doctor-${UID}` }),
    line('response', 'f', 'transit/encrypt/k', { error: 'permission denied' }),
    line('request', 'g', 'transit/backup/k'),
  ]
  for (const each of seen) {
    const entry = readAuditEntry(each)
    const use = entry === undefined ? undefined : join.addEntry(entry)
    if (use !== undefined) tally.add(use)
  }
  for (const use of join.end()) tally.add(use)
  const summary = tally.summarize(join)
  t.notOk(summary.ok)
  const found = summary.suspicious.map(
    ({ origin, address, action }) => `${origin.kind} ${address} ${action}`,
  )
  t.same(found.toSorted(), [
    'check 10.6.6.6 decrypt',
    'unknown 10.0.0.1 backup',
    'unknown 10.0.0.1 decrypt',
    'unknown 10.0.0.1 decrypt',
    'verify 10.0.0.1 decrypt',
  ])
  const text = formatAudit(summary)
  t.match(text, 'transit/k decrypt by node-1.log: 1,')
  t.match(text, /encrypt by unknown caller: 1, failed/)
  t.match(text, /backup transit\/k .*: no answer/)
  t.match(text, 'claims to be verify')
  t.end()
})
