import { join } from 'node:path'
import { end, test } from 'tap'
import { runToEnd } from '../real/program/run-to-end.ts'
import { parseCommandLine } from './command-line.ts'
import { formatReport, isProved } from './report.ts'
import type { SoakResult } from './soak-run.ts'

const GOOD: SoakResult = {
  seed: 'abc',
  plannedMinutes: 20,
  seconds: 1_300,
  findings: [],
  findingCount: 0,
  faults: { 'SIGKILL of a program': 3 },
  calls: { Encrypt: { ok: 1_000, refused: 3, unanswered: 1 } },
  recoveries: [{ fault: 'SIGKILL of a program', timesMs: [100, 2_000, 300] }],
  decrypted: {
    handedOut: 1_000,
    decrypted: 1_000,
    ofPods: 10,
    decryptedOfPods: 10,
    fileBytes: 1_048_576,
    localKeys: 5,
  },
  keyVersions: 4,
  levels: [],
  logs: { lines: 9, warnings: 2, errors: 1 },
}

void test('a report says "ok" only if everything was proved', (t) => {
  t.ok(isProved(GOOD))
  t.match(formatReport(GOOD), /SIGKILL of a program +3 +0\.3 s +2\.0 s/)
  t.match(formatReport(GOOD), /1,000 of 1,000 decrypt[^]*\nok\n$/)
  const { decrypted } = GOOD
  if (decrypted === undefined) throw new Error('no figures')
  const bad: Partial<SoakResult>[] = [
    { decrypted: undefined },
    { decrypted: { ...decrypted, decrypted: 999 } },
    { decrypted: { ...decrypted, handedOut: 0, decrypted: 0 } },
    { decrypted: { ...decrypted, decryptedOfPods: 9 } },
    { findingCount: 1, findings: [{ kind: 'leak', message: 'files rose', atSeconds: 9 }] },
  ]
  for (const change of bad) {
    const result = { ...GOOD, ...change }
    t.notOk(isProved(result))
    t.match(formatReport(result), /failed; to repeat it: --seed abc\n$/)
  }
  t.match(formatReport({ ...GOOD, ...bad[4] }), /FAILED after 9 s: leak: files rose/)
  t.end()
})

void test('the command line: 20 minutes and a random seed by default, and a wrong one exits with 2', async (t) => {
  t.match(parseCommandLine([]), { minutes: 20, seed: /^[0-9a-f]{8}$/, json: false })
  const all = ['--minutes', '90', '--seed', 'x', '--rate', '30', '--json']
  t.same(parseCommandLine(all), { minutes: 90, seed: 'x', callsPerSecond: 30, json: true })
  for (const wrong of [
    ['--minutes', '1'],
    ['--minutes', 'ten'],
    ['--seed', ''],
    ['--hours', '1'],
  ])
    t.throws(() => parseCommandLine(wrong))
  const soak = join(import.meta.dirname, 'soak.ts')
  const help = await runToEnd(process.execPath, [soak, '--help'])
  t.equal(help.code, 0)
  t.match(help.stdout, /^usage: npm run soak/)
  const { code, stderr } = await runToEnd(process.execPath, [soak, '--minutes', 'ten'])
  t.equal(code, 2)
  t.match(stderr, /--minutes is not a number from 2 to 10080: ten\nusage: npm run soak/)
})

end()
