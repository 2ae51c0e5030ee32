import { linkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { test } from 'tap'

import { auditCommand } from '../../src/commands/audit.ts'
import { auditLine, callLine, KEY, toFile } from '../audit/lines.ts'
import { execute, type TypedOptions } from './execute.ts'
import { memoryTerminal } from './memory-terminal.ts'

const UID = '00000000-0000-4000-8000-000000000001'
const OWN = [auditLine('request', { uid: UID }), auditLine('response', { uid: UID })]
const FOREIGN = [auditLine('request', { id: '2' }), auditLine('response', { id: '2' })]

async function runAudit(operands: readonly string[], options: TypedOptions = {}) {
  const terminal = memoryTerminal()
  const code = await execute(auditCommand, options, terminal, operands)
  return { code, text: terminal.text() }
}

void test('a foreign use in a compressed file is found; without that file nothing is suspicious', async (t) => {
  const folder = t.testdir({
    'audit.log': toFile(OWN),
    'node-1.log': toFile([callLine(UID)]),
    'info.log': toFile([{ level: 'info', msg: 'started' }]),
  })
  const [log, node, info] = ['audit.log', 'node-1.log', 'info.log'].map((name) =>
    join(folder, name),
  )
  const rotated = join(folder, 'audit.log.1.gz')
  writeFileSync(rotated, gzipSync(toFile(FOREIGN)))
  const files = [log ?? '', node ?? '', info ?? '']
  t.match(await runAudit(files, { key: KEY }), { code: 0, text: /by node-1\.log: 1/ })
  t.match(await runAudit([...files, rotated], { key: KEY }), {
    code: 1,
    text: /NOT ok: 1 suspicious/,
  })
  const events = await runAudit([rotated, ...files], { key: KEY, events: true, json: true })
  t.match(JSON.parse(events.text.split('\n')[0] ?? ''), { origin: { kind: 'unknown' } })
})

void test('what was not read makes the result not ok, even if nothing is suspicious', async (t) => {
  const folder = t.testdir({
    'audit.log': `${toFile(OWN)}{"type":"requ`,
    'node-1.log': toFile([callLine(UID)]),
    'notes.txt': 'nothing\n',
  })
  const [log, node, notes] = ['audit.log', 'node-1.log', 'notes.txt'].map((name) =>
    join(folder, name),
  )
  const cut = await runAudit([log ?? '', node ?? ''])
  t.match(cut, { code: 1, text: /NOT ok: 1 line was not read/ })
  t.match(cut.text, /not read: .*audit\.log, line 3: is incomplete/)
  const useless = await runAudit([log ?? '', node ?? '', notes ?? ''])
  t.match(useless.text, /notes\.txt: contains neither entries of a Vault audit file nor log lines/)
})

void test('a key that no entry is about is wrong usage, and the message names the keys of the files', async (t) => {
  const file = join(t.testdir({ 'audit.log': toFile(OWN) }), 'audit.log')
  await t.rejects(runAudit([file], { key: 'k8s-etc' }), {
    code: 'USAGE_INVALID',
    message: `no entry is about the key k8s-etc; the files have entries about ${KEY}`,
  })
})

void test('without a call of a plugin, nothing is proved, even if nothing is suspicious', async (t) => {
  const encrypt = [
    auditLine('request', { path: `transit/encrypt/${KEY}` }),
    auditLine('response', { path: `transit/encrypt/${KEY}` }),
  ]
  const folder = t.testdir({
    'audit.log': toFile(encrypt),
    'info.log': toFile([{ level: 'info', msg: 'started' }]),
  })
  const files = ['audit.log', 'info.log'].map((name) => join(folder, name))
  t.match(await runAudit(files), {
    code: 1,
    text: /no file contains calls of a plugin for this key/,
  })
  const { code, text } = await runAudit(files, { json: true })
  t.match([code, JSON.parse(text)], [1, { ok: false, comparedCalls: 0 }])
})

void test('a time needs the form of RFC 3339 with a zone, and --since is before --until', async (t) => {
  const file = join(t.testdir({ 'audit.log': toFile(OWN) }), 'audit.log')
  for (const until of [
    '10',
    'about 5',
    '2026-01-31',
    '2026-01-31T12:00:00',
    '2026-13-31T12:00:00Z',
  ])
    await t.rejects(runAudit([file], { until }), {
      code: 'USAGE_INVALID',
      message: /must be a time/,
    })
  const zone = await runAudit([file], { until: '2026-01-31T13:00:00.5+01:00', json: true })
  t.match(JSON.parse(zone.text), { until: '2026-01-31T12:00:00.500Z' })
  const swapped = { since: '2026-02-01T00:00:00Z', until: '2026-01-30T00:00:00Z' }
  await t.rejects(runAudit([file], swapped), { message: '--since must be before --until' })
})

void test('a file that is passed twice is refused, because its calls would count twice', async (t) => {
  const folder = t.testdir({ 'node-1.log': toFile([callLine(UID)]) })
  const [file, link] = [join(folder, 'node-1.log'), join(folder, 'link.log')]
  linkSync(file, link)
  await t.rejects(runAudit([file, link]), {
    message: `${file} and ${link} are the same file; pass it once`,
  })
})

void test('files without an entry about a Transit key are wrong usage', async (t) => {
  const folder = t.testdir({ 'a.txt': 'nothing\n', 'b.log': '{"half": ' })
  const [text, half] = [join(folder, 'a.txt'), join(folder, 'b.log')]
  await t.rejects(runAudit([text]), {
    message: /no line is an entry of a Vault audit file about a Transit key/,
  })
  await t.rejects(runAudit([half]), { message: /b\.log: line 1 is incomplete/ })
})
