import { test } from 'tap'

import { Audit, type AuditSummary } from '../../src/audit/audit.ts'
import type { LogLine } from '../../src/audit/log-file.ts'
import { openTemporaryDatabase } from '../../src/audit/temporary-database.ts'
import { formatAudit } from '../../src/audit/text.ts'
import { MAX_PROOF_VALUES } from '../../src/kms/proof.ts'
import { auditLine, callLine, KEY, type EntryOptions } from './lines.ts'

const UID = '00000000-0000-4000-8000-000000000001'
const OTHER = '00000000-0000-4000-8000-000000000002'

interface Logs {
  readonly calls?: readonly object[]
  readonly entries: readonly object[]
  readonly verifyRuns?: readonly string[]
  readonly key?: string
  readonly since?: number
  readonly until?: number
}

async function* toLines(values: readonly object[]): AsyncIterable<readonly LogLine[]> {
  yield values.map((value, index) => ({
    line: index + 1,
    value: JSON.parse(JSON.stringify(value)) as unknown,
  }))
}

async function audit({ calls = [], entries, key = KEY, ...more }: Logs): Promise<AuditSummary> {
  using database = openTemporaryDatabase()
  const run = new Audit({ database, key, ...more })
  await run.readCalls('node-1.log', 'node-1.log', toLines(calls))
  await run.readEntries('node-1.log', toLines(calls))
  await run.readEntries('audit.log', toLines(entries))
  return run.summarize()
}

function withRequest(entry: object, changes: object): object {
  return { ...entry, request: { ...(entry as { request: object }).request, ...changes } }
}

/** Request and response of one use. */
function use(options: EntryOptions): readonly object[] {
  return [auditLine('request', options), auditLine('response', options)]
}

void test('a use that a plugin requested is not suspicious, alone or in a batch', async (t) => {
  const summary = await audit({
    calls: [callLine(UID, { requests: 2 }), callLine(OTHER), callLine(UID, { method: 'Encrypt' })],
    entries: [
      ...use({ id: 'a', uid: UID }),
      ...use({ id: 'b', uid: `${UID},${OTHER}`, values: 2 }),
      ...use({ id: 'c', uid: UID, path: `transit/encrypt/${KEY}` }),
    ],
  })
  t.match(summary, { ok: true, suspiciousCount: 0, pluginCalls: 3 })
  const text = formatAudit(summary)
  t.match(text, `transit/${KEY} decrypt by node-1.log: 2,`)
  t.match(text, 'a plugin asked for every use that returns something secret')
})

void test('a new local key that shares the batch of calls is not suspicious', async (t) => {
  const check = 'check-00000000-0000-4000-8000-000000000003'
  const uids = Array.from({ length: MAX_PROOF_VALUES.decrypt }, (_, at) => `${OTHER}-${String(at)}`)
  const entry = (values: number) => use({ uid: [check, ...uids].join(','), values })
  const calls = [callLine(check, { method: 'Check' }), ...uids.map((uid) => callLine(uid))]
  t.match(await audit({ calls, entries: entry(uids.length + 1) }), { ok: true })
  t.match(await audit({ calls, entries: entry(uids.length + 2) }), { ok: false })
})

// A valid Decrypt of one plugin with one thing wrong.
const WRONG: readonly (readonly [string, Logs, RegExp])[] = [
  ['it has no uid', { entries: use({}) }, /it has no uid/],
  ['no plugin logged its uid', { entries: use({ uid: OTHER }) }, /no plugin logged its uid/],
  [
    'one of the uids of its batch is unknown',
    { entries: use({ uid: `${UID},${OTHER}`, values: 2 }) },
    /no plugin logged its uid/,
  ],
  [
    'it repeats a uid that a plugin sent once',
    { entries: [...use({ id: 'a', uid: UID }), ...use({ id: 'b', uid: UID })] },
    /its uid occurs more often than the plugin sent it/,
  ],
  [
    'it repeats a uid in one batch',
    { entries: use({ uid: `${UID},${UID}`, values: 2 }) },
    /its uid occurs more often than the plugin sent it/,
  ],
  [
    'its call was answered from the cache',
    { calls: [callLine(UID, { requests: 0 })], entries: use({ uid: UID }) },
    /its uid occurs more often/,
  ],
  [
    'it has more values than uids',
    { entries: use({ uid: UID, values: 3 }) },
    /more values than uids/,
  ],
  [
    'the uid was logged for Encrypt',
    { calls: [callLine(UID, { method: 'Encrypt' })], entries: use({ uid: UID }) },
    /logged its uid for Encrypt/,
  ],
  [
    'the plugin uses another key',
    { calls: [callLine(UID, { key: 'transit/other' })], entries: use({ uid: UID }) },
    /uses another key/,
  ],
  [
    'it is in another namespace',
    { entries: use({ uid: UID, namespace: 'team/' }) },
    /uses another key/,
  ],
  [
    'the log names no key',
    { calls: [callLine(UID, { key: undefined })], entries: use({ uid: UID }) },
    /names no key/,
  ],
  [
    'it exports the key',
    { entries: use({ uid: UID, path: `transit/export/encryption-key/${KEY}` }) },
    /export transit.*logged its uid for Decrypt/,
  ],
  [
    'it is an operation that is not known',
    { entries: use({ path: `transit/extract/${KEY}` }) },
    /extract transit\/k8s-etcd/,
  ],
  [
    'its entry does not show how many values it has',
    { entries: use({ uid: UID }).map((entry) => withRequest(entry, { data: undefined })) },
    /does not show how many values/,
  ],
  [
    'an operation that is not known names the key later in its path',
    { entries: use({ path: `transit/extract/to/${KEY}` }) },
    /extract transit\/to\/k8s-etcd/,
  ],
  [
    'an operation that is not known names the key in its body',
    { entries: use({ path: 'transit/extract' }) },
    /extract transit\/ by/,
  ],
  [
    "it reads Vault's storage",
    { entries: use({ path: 'sys/raw/core/keyring', operation: 'read', mountType: 'system' }) },
    /read sys\/raw\/core\/keyring/,
  ],
  [
    'only its request was written, to two files',
    { entries: [...use({}).slice(0, 1), ...use({}).slice(0, 1)] },
    /no answer/,
  ],
  ['it claims to be a check', { entries: use({ uid: `check-${UID}` }) }, /no plugin logged it/],
  ['it claims to be verify', { entries: use({ uid: `verify-${UID}` }) }, /--verify-run/],
  [
    'it claims to be escrow create',
    { entries: use({ uid: `escrow-${UID}` }) },
    /a run of escrow create; .*--verify-run/,
  ],
  ['it has no response', { entries: use({}).slice(0, 1) }, /no answer/],
  ['Vault refused it', { entries: use({ error: 'permission denied' }) }, /permission denied/],
]

for (const [name, logs, message] of WRONG) {
  void test(`a decrypt is suspicious if ${name}`, async (t) => {
    const summary = await audit({ calls: [callLine(UID)], ...logs })
    t.equal(summary.ok, false)
    t.equal(summary.suspiciousCount, 1)
    t.match(formatAudit(summary), message)
    t.match(formatAudit(summary), 'NOT ok: 1 suspicious')
  })
}

void test("a plugin's own check and a run of verify that the operator names are not suspicious", async (t) => {
  const [check, verify] = [`check-${UID}`, `verify-${UID}`]
  const summary = await audit({
    calls: [callLine(check, { method: 'Check', requests: 4 })],
    entries: [
      ...use({ id: 'a', uid: check, operation: 'read', path: `transit/keys/${KEY}` }),
      ...use({ id: 'b', uid: check, path: `transit/encrypt/${KEY}` }),
      ...use({ id: 'c', uid: check }),
      ...use({ id: 'd', uid: check, values: MAX_PROOF_VALUES.decrypt }),
      ...use({ id: 'e', uid: verify, values: 100 }),
    ],
    verifyRuns: [verify],
  })
  t.match(summary, { ok: true, pluginCalls: 0 })
  t.match(formatAudit(summary), "decrypt by node-1.log's own check: 2,")
})

void test('requests after the end of a call count exactly, by separate lines', async (t) => {
  const code = 'DEADLINE_EXCEEDED'
  const time = '2026-01-01T00:00:02Z'
  const late = [1, 2].map((number) => callLine(UID, { code, time, late: number }))
  const calls = [callLine(UID, { code }), ...late, ...late]
  const entries = [1, 2, 3].flatMap((id) => use({ id: String(id), uid: UID }))
  t.match(await audit({ calls, entries }), { ok: true, pluginCalls: 1 })
  const more = [...entries, ...use({ id: '4', uid: UID })]
  t.equal((await audit({ calls, entries: more })).suspiciousCount, 1)
  const unlogged = [callLine(UID, { code })]
  t.equal(
    (await audit({ calls: unlogged, entries })).suspiciousCount,
    2,
    'an early end allows none',
  )
})

void test('a call that Vault answered and that no file shows is a missing file, unless its time is excluded', async (t) => {
  const later = '2026-01-02T00:00:00Z'
  const calls = [callLine(UID), callLine(OTHER, { time: later })]
  const entries = use({ id: 'a', uid: UID })
  const summary = await audit({ calls, entries })
  t.match(summary, { ok: false, unrecordedCalls: { count: 1, first: later, last: later } })
  t.match(formatAudit(summary), `missing: 1 call that Vault answered has no entry, from ${later}`)
  t.match(formatAudit(summary), /^NOT ok: an audit file is missing$/m)
  const until = Date.parse('2026-01-01T12:00:00Z')
  t.match(await audit({ calls, entries, until }), { ok: true, unrecordedCalls: { count: 0 } })
  t.equal((await audit({ calls, entries, since: until })).ok, false)
  const none = await audit({
    calls,
    entries,
    since: Date.parse('2026-02-01T00:00:00Z'),
    until: Date.parse('2026-02-02T00:00:00Z'),
  })
  t.match(none, { ok: false, comparedCalls: 0, since: '2026-02-01T00:00:00.000Z' })
  t.match(formatAudit(none), /^only calls from 2026-02-01\S+ to 2026-02-02\S+ need an entry$/m)
  t.match(formatAudit(none), /^NOT ok: there are no calls of a plugin to compare with$/m)

  const unanswered = [
    callLine(OTHER, { code: 'UNAVAILABLE' }),
    callLine(OTHER, { requests: 0, time: later }),
    callLine(OTHER, { key: 'transit/other' }),
    callLine(OTHER, { code: 'DEADLINE_EXCEEDED', late: 1 }),
  ]
  t.equal((await audit({ calls: [callLine(UID), ...unanswered], entries })).ok, true)
})

void test('a response without its request is a missing file', async (t) => {
  const summary = await audit({
    calls: [callLine(UID)],
    entries: [auditLine('response', { uid: UID })],
  })
  t.match(summary, { ok: false, suspiciousCount: 0, responsesAlone: 1 })
  t.match(formatAudit(summary), 'missing: 1 response has no request; pass the preceding audit file')
})

void test('a line that is in two files counts once, so a copied log hides nothing', async (t) => {
  const entries = [...use({ id: 'a', uid: UID }), ...use({ id: 'b', uid: UID })]
  const summary = await audit({ calls: [callLine(UID), callLine(UID)], entries })
  t.equal(summary.suspiciousCount, 1)
})

void test('a response may come before its request, as in files in any order', async (t) => {
  const entries = use({ uid: UID }).toReversed()
  t.match(await audit({ calls: [callLine(UID)], entries }), {
    ok: true,
    uses: [{ count: 1 }],
  })
})

void test('a copied uid of a check is suspicious, before the check or after it', async (t) => {
  const uid = `check-${UID}`
  const copies = [...use({ id: 'x', uid, values: 2 }), ...use({ id: 'y', uid, values: 2 })]
  const check = [
    ...use({ id: 'c', uid }),
    ...use({ id: 'd', uid, values: 2 }),
    ...use({ id: 'a', uid, operation: 'read', path: `transit/keys/${KEY}` }),
    ...use({ id: 'b', uid, path: `transit/encrypt/${KEY}` }),
  ]
  const calls = [callLine(uid, { method: 'Check', requests: 4 })]
  for (const entries of [
    [...check, ...copies],
    [...copies, ...check],
  ]) {
    const summary = await audit({ calls, entries })
    t.match(summary, { ok: false, suspiciousCount: 2 })
    t.match(formatAudit(summary), /occurs more often than the plugin sent it/)
  }
})

const UNREAD: readonly (readonly [string, object, RegExp])[] = [
  ['its time is a number', { ...auditLine('response'), time: 5 }, /does not have the fields/],
  ['its error is an object', { ...auditLine('response'), error: {} }, /does not have the fields/],
  [
    'its type is not known',
    { ...auditLine('response'), type: 'reply' },
    /does not have the fields/,
  ],
  [
    'its header is not a list',
    withRequest(auditLine('response'), { headers: { 'x-transit-bridge-uid': UID } }),
    /does not have the fields/,
  ],
  [
    'it has no id',
    withRequest(auditLine('response'), { id: undefined }),
    /does not have the fields/,
  ],
  [
    'a log shipper wrapped it',
    { level: 'info', msg: JSON.stringify(auditLine('response')) },
    /inside a string/,
  ],
  ['it is something else', { MESSAGE: 'started' }, /neither an audit entry nor a log line/],
  [
    'it removes an audit device',
    auditLine('request', { operation: 'delete', path: 'sys/audit/file', mountType: 'system' }),
    /removes an audit device/,
  ],
]
for (const [name, line, message] of UNREAD) {
  void test(`a line of an audit file makes the result not ok if ${name}`, async (t) => {
    const entries = [...use({ id: 'a', uid: UID }), line]
    const summary = await audit({ calls: [callLine(UID)], entries })
    t.match(summary, { ok: false, suspiciousCount: 0 })
    t.match(formatAudit(summary), message)
    t.match(formatAudit(summary), 'NOT ok: 1 line was not read')
  })
}

// Only Vault Enterprise has such devices.
void test('an audit device with a filter makes the result not ok, unless Vault refused it', async (t) => {
  const data = { type: 'file', options: { filter: 'operation == read' } }
  const path = { operation: 'update', path: 'sys/audit/file', mountType: 'system' }
  const enable = withRequest(auditLine('request', path), { data })
  const entries = [...use({ id: 'a', uid: UID }), enable]
  const summary = await audit({ calls: [callLine(UID)], entries })
  t.equal(summary.ok, false)
  t.match(formatAudit(summary), /enables an audit device that omits entries/)
  const refused = [...use({ id: 'a', uid: UID }), { ...enable, error: 'permission denied' }]
  t.equal((await audit({ calls: [callLine(UID)], entries: refused })).ok, true)
})

void test('the log of Vault itself and a refused removal of an audit device change nothing', async (t) => {
  const removal = { operation: 'delete', path: 'sys/audit/file', mountType: 'system' }
  const entries = [
    { '@level': 'info', '@message': 'core: post-unseal setup complete' },
    auditLine('request', { ...removal, error: 'permission denied' }),
    ...use({ id: 'a', uid: UID }),
  ]
  t.match(await audit({ calls: [callLine(UID)], entries }), { ok: true })
})

void test('every suspicious use counts, no matter how many addresses there are', async (t) => {
  const entries = Array.from({ length: 1_500 }, (_, index) =>
    auditLine('response', {
      id: String(index),
      address: `10.0.${String(index >> 8)}.${String(index & 255)}`,
    }),
  )
  const summary = await audit({ entries })
  t.equal(summary.suspiciousCount, 1_500)
  t.match(formatAudit(summary), /and 1,300 more; --events prints all/)
})

void test('control characters of names do not reach the terminal', async (t) => {
  const path = 'transit/decrypt/k\u001b[2J'
  const summary = await audit({ entries: use({ path }), key: 'k\u001b[2J' })
  t.equal(summary.suspiciousCount, 1)
  t.notMatch(formatAudit(summary), '\u001b')
})
