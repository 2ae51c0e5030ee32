import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'

import { makeCallRows, type Measured } from '../../bench/kms/call-rows.ts'
import { sumByPart, type CpuProfile } from '../../bench/kms/cpu-profile.ts'
import type { Kind } from '../../bench/kms/subjects.ts'
import { drawRatios } from '../../bench/plot.ts'

const MAIN = join(import.meta.dirname, '../../bench/main.ts')

const measure = (values: Partial<Record<Kind, number>>): Measured =>
  new Map(
    Object.entries(values).map(([kind, value]) => [
      kind as Kind,
      { p50: value, p99: 2 * value, perSecond: 1000 / value },
    ]),
  )

void t.test('a row says whether a ratio to direct decrypts reaches its bound', async (t) => {
  const rows = makeCallRows(
    measure({ direct: 1, decrypt: 1.7, encrypt: 1.9 }),
    measure({ direct: 1, localDecrypt: 0.25, localEncrypt: 0.26 }),
    64,
  )
  const judged = Object.fromEntries(rows.map(({ what, ok }) => [what, ok]))
  t.match(judged, {
    'Decrypt, 1 caller: p50': true,
    'Encrypt, 1 caller: p50': false,
    'Decrypt with local keys, 64 callers': true,
    'Encrypt with local keys, 64 callers': false,
  })
})

void t.test('a p99 of more than four times the p50 misses its bound', async (t) => {
  const result = { p50: 1, p99: 4.1, perSecond: 4000 }
  const many: Measured = new Map([
    ['direct', { ...result, perSecond: 1000 }],
    ['decrypt', result],
  ])
  const rows = makeCallRows(measure({ direct: 1 }), many, 64)
  t.match(
    rows.find(({ what }) => what === 'Decrypt, 64 callers: p99'),
    { ok: false },
  )
})

void t.test('without direct decrypts there is no ratio to report', async (t) => {
  t.throws(() => makeCallRows(measure({ decrypt: 1 }), measure({}), 64), {
    message: 'direct was not measured',
  })
})

void t.test('the plot has a bar for each ratio, and its texts are escaped', async (t) => {
  const svg = drawRatios([
    { what: 'a < b & c', value: { number: 2, unit: 'ms' }, ratio: 2, ok: false },
    { what: 'without a ratio', value: '3 s' },
  ])
  t.match(svg, 'a &lt; b &amp; c')
  t.match(svg, '2.00 (2.000 ms)')
  t.notMatch(svg, 'without a ratio')
})

void t.test('a CPU profile is summed by package and area, without idle time', async (t) => {
  const profile: CpuProfile = {
    nodes: [
      { id: 1, callFrame: frame('(idle)', '') },
      { id: 2, callFrame: frame('onread', 'node:internal/http2/core') },
      { id: 3, callFrame: frame('(garbage collector)', '') },
    ],
    samples: [1, 2, 3, 2],
    timeDeltas: [0, 1_000, 20, 3],
  }
  t.strictSame(
    [...sumByPart(profile)],
    [
      ['Node.js: HTTP/2', 20],
      ['garbage collection', 3],
    ],
    'each sample represents the time until the next one',
  )
})

void t.test('--help lists the options and exits with 0', async (t) => {
  const { status, stdout } = run('--help')
  t.equal(status, 0)
  t.match(stdout, '--peer PATH')
})

void t.test('an unknown option is wrong usage', async (t) => {
  const { status, stderr } = run('--jsn')
  t.equal(status, 2)
  t.match(stderr, "Unknown option '--jsn'")
})

function frame(functionName: string, url: string) {
  return { functionName, url, lineNumber: 0, columnNumber: 0 }
}

function run(option: string) {
  return spawnSync(process.execPath, [MAIN, option], { encoding: 'utf8' })
}
