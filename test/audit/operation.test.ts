import { test } from 'tap'

import { readAuditEntry } from '../../src/audit/entry.ts'
import { isRevealing, readOperation } from '../../src/audit/operation.ts'
import { auditLine } from './lines.ts'

// Paths of Vault 1.17 and OpenBao 2.7 (api/secret/transit in their documentation).
const HARMLESS = [
  ['encrypt/k', 'update', 'encrypt'],
  ['sign/k/sha2-256', 'update', 'sign'],
  ['verify/k', 'update', 'verify'],
  ['hmac/k/sha2-256', 'update', 'hmac'],
  ['keys/k', 'read', 'read'],
  ['keys/k', 'update', 'create'],
  ['keys/k', 'delete', 'delete'],
  ['keys/k/rotate', 'update', 'rotate'],
  ['keys/k/config', 'update', 'config'],
  ['keys/k/trim', 'update', 'trim'],
  ['keys/k/import_version', 'update', 'import_version'],
  ['restore/k', 'update', 'restore'],
] as const
const REVEALING = [
  ['decrypt/k', 'decrypt'],
  ['rewrap/k', 'rewrap'],
  ['datakey/plaintext/k', 'datakey'],
  ['datakeys/plaintext/k', 'datakeys'],
  ['export/encryption-key/k/3', 'export'],
  ['export/hmac-key/k', 'export'],
  ['byok-export/their-key/k', 'byok-export'],
  ['byok-export/their-key/k/2', 'byok-export'],
  ['backup/k', 'backup'],
] as const

for (const mount of ['transit', 'team/transit', 'keys/decrypt']) {
  void test(`operations of the mount ${mount} are recognized, with their key`, (t) => {
    const mountPoint = `${mount}/`
    for (const [path, operation, action] of HARMLESS) {
      const found = readOperation({ path: `${mount}/${path}`, operation, mountPoint })
      t.same(found, { mount, key: 'k', action, isUnknown: false }, path)
      t.equal(found && isRevealing(found), false, path)
    }
    for (const [path, action] of REVEALING) {
      const found = readOperation({ path: `${mount}/${path}`, operation: 'update', mountPoint })
      t.same(found, { mount, key: 'k', action, isUnknown: false }, path)
      t.equal(found && isRevealing(found), true, path)
    }
    t.end()
  })
}

void test('an operation that this program does not know may return anything', (t) => {
  for (const path of ['transit/unwrap/k', 'transit/keys/k/material', 'transit/keys/k/rotate/x']) {
    const found = readOperation({ path, operation: 'read', mountPoint: 'transit/' })
    t.match(found, { key: 'k', isUnknown: true }, path)
    t.equal(found && isRevealing(found), true, path)
  }
  t.end()
})

void test('paths that concern no key are not operations on a key', (t) => {
  for (const path of ['random/32', 'hash/sha2-256', 'keys', 'cache-config', 'wrapping_key'])
    t.equal(
      readOperation({ path: `transit/${path}`, operation: 'update', mountPoint: 'transit/' }),
      undefined,
      path,
    )
  t.end()
})

void test('without the mount point, as in files of an old Vault, the path is enough', (t) => {
  const of = (path: string) => readOperation({ path, operation: 'update' })
  t.match(of('team/transit/decrypt/k'), { mount: 'team/transit', key: 'k', action: 'decrypt' })
  t.match(of('transit/byok-export/theirs/k'), { mount: 'transit', key: 'k' })
  t.match(of('transit/keys/k/rotate'), { mount: 'transit', key: 'k', action: 'rotate' })
  t.equal(of('auth/jwt/login'), undefined)
  t.end()
})

void test('an entry about another engine is recognized as such; other lines are not entries', (t) => {
  t.equal(readAuditEntry(auditLine('request', { mountType: 'kv' })), 'other')
  t.equal(readAuditEntry(auditLine('request', { path: 'transit/random/32' })), 'other')
  t.equal(readAuditEntry({ level: 'info', msg: 'started' }), undefined)
  t.match(readAuditEntry(auditLine('request', { namespace: 'team/', values: 3 })), {
    mount: 'team/transit',
    values: 3,
  })
  t.end()
})
