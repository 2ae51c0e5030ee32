import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

import { findLockFaults, readAudit } from '../../scripts/release/dependencies.ts'
import { ROOT } from '../commands/program.ts'

const HASH = `sha512-${'A'.repeat(86)}==`
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')

void test('the lock files pin every package by its hash, and name no address', (t) => {
  for (const file of ['package-lock.json', 'tools/dashboard-picture/package-lock.json']) {
    t.strictSame(findLockFaults(JSON.parse(read(file))), [], file)
  }
  const { dependencies, devDependencies } = JSON.parse(read('package.json')) as Record<
    string,
    Record<string, string>
  >
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies }))
    t.match(version, /^\d+\.\d+\.\d+$/, `${name} has an exact version`)
  t.end()
})

void test('a package without a hash, or with an address, is a fault', (t) => {
  const locked = (entry: object) =>
    findLockFaults({ packages: { '': {}, 'node_modules/a': entry } })
  t.same(locked({ integrity: HASH }), [])
  t.match(locked({}), [/has no SHA-512 hash/])
  t.match(locked({ integrity: 'sha1-abc=' }), [/has no SHA-512 hash/])
  t.match(locked({ integrity: HASH, resolved: 'http://10.0.0.1/a.tgz' }), [/has a fixed address/])
  t.match(locked({ integrity: HASH, link: true }), [/is a link/])
  t.match(findLockFaults({}), [/names no packages/])
  t.end()
})

void test('an audit is clean only if the registry answered and found nothing', (t) => {
  const clean = { auditReportVersion: 2, vulnerabilities: {}, metadata: {} }
  const found = { ...clean, vulnerabilities: { axios: { severity: 'high' } } }
  t.match(readAudit(JSON.stringify(clean), 'vulnerabilities'), { kind: 'clean' })
  t.match(readAudit(JSON.stringify(found), 'vulnerabilities'), { kind: 'finding', text: 'axios' })
  const signed = { invalid: [], missing: [] }
  t.match(readAudit(JSON.stringify(signed), 'signatures'), { kind: 'clean' })
  const unsigned = { invalid: [{ name: 'a' }], missing: [{ name: 'b' }] }
  t.match(readAudit(JSON.stringify(unsigned), 'signatures'), {
    kind: 'finding',
    text: 'a (invalid), b (missing)',
  })
  for (const silent of ['', 'ENOTFOUND', '{}', '[]', '{"message":"405 Method Not Allowed"}'])
    for (const kind of ['vulnerabilities', 'signatures'] as const)
      t.match(readAudit(silent, kind), { kind: 'not checked', text: /did not answer/ }, silent)
  t.match(readAudit('{"error":{"summary":"no network"}}', 'signatures').text, /no network/)
  t.end()
})
