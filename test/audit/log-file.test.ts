import { writeFile } from 'node:fs/promises'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { join } from 'node:path'
import { test, type Test } from 'tap'

import { readLogFile, type LogLine, type Unread } from '../../src/audit/log-file.ts'
import { MAX_LINE_BYTES } from '../../src/files/line-reader.ts'

async function read(
  t: Test,
  content: string | Buffer,
): Promise<readonly (Unread | { readonly value: unknown })[]> {
  const file = join(t.testdir(), 'log')
  await writeFile(file, content)
  const lines: LogLine[] = []
  for await (const batch of readLogFile(file)) lines.push(...batch)
  return lines.map((line) => ('value' in line ? { value: line.value } : line))
}

const ONE = '{"n":1}\n'
const TWO = '{"n":2}\n'
const BOTH = [{ value: { n: 1 } }, { value: { n: 2 } }]

for (const [name, content] of [
  ['plain text', ONE + TWO],
  ['gzip', gzipSync(ONE + TWO)],
  [
    'gzip of two parts, as a rotation that appends writes it',
    Buffer.concat([gzipSync(ONE), gzipSync(TWO)]),
  ],
  ['zstd', zstdCompressSync(ONE + TWO)],
  ['lines with a time before them', `2026-01-01T00:00:00Z ${ONE}host vault[1]: ${TWO}`],
  ['lines between others', `starting\n\n${ONE}stopped {x}\n${TWO}`],
  [
    'lines of a Kubernetes container',
    `2026-01-01T00:00:00Z stdout F ${ONE}2026-01-01T00:00:00Z stderr F ${TWO}`,
  ],
  [
    'a line that the container runtime split',
    `2026-01-01T00:00:00Z stdout P {"n":\n2026-01-01T00:00:00Z stdout F 1}\n${TWO}`,
  ],
  [
    "lines of Docker's json-file driver",
    [ONE, TWO].map((log) => `${JSON.stringify({ log, stream: 'stdout' })}\n`).join(''),
  ],
  [
    'a line that Docker split',
    ['{"n":', '1}\n', TWO].map((log) => `${JSON.stringify({ log, stream: 'stdout' })}\n`).join(''),
  ],
  [
    'lines of a container of Docker with a time before them',
    [ONE, TWO]
      .map((log) => `${JSON.stringify({ log: `now ${log}`, stream: 'stdout' })}\n`)
      .join(''),
  ],
  ['objects with a space after the bracket', '{ "n":1}\n{\t"n": 2}\n'],
  ['lines that end as on Windows', `{"n":1}\r\n{"n":2}\r\n`],
] as const) {
  void test(`a log file is read: ${name}`, async (t) => {
    t.same(await read(t, content), BOTH)
  })
}

const LONG = `{"path":"transit/decrypt/k","data":"${'x'.repeat(MAX_LINE_BYTES)}"}\n`
for (const [name, content, found] of [
  [
    'longer than 4 MiB',
    ONE + LONG + TWO,
    { line: 2, why: 'is longer than 4 MiB (its path is transit/decrypt/k)' },
  ],
  ['damaged', `${ONE}{"n":\n${TWO}`, { line: 2, why: 'is damaged JSON' }],
  ['cut off', `${ONE}${TWO}{"n":`, { line: 3, why: /incomplete/ }],
  [
    'split by the container runtime, and its end is missing',
    `${ONE}${TWO}2026-01-01T00:00:00Z stdout P {"n":\n`,
    { line: 3, why: /incomplete/ },
  ],
] as const) {
  void test(`a line is reported if it is ${name}`, async (t) => {
    const lines = await read(t, content)
    t.match(
      lines.find((line) => 'why' in line),
      found,
    )
    t.same(
      lines.filter((line) => 'value' in line),
      BOTH,
    )
  })
}

void test('a compressed file that was cut off or damaged is reported', async (t) => {
  const packed = gzipSync(Array.from({ length: 5_000 }, (_, n) => `{"n":${String(n)}}\n`).join(''))
  const cut = await read(t, packed.subarray(0, packed.length >> 1))
  t.match(cut.at(-1), { why: /ends too early; nothing after this line was read/ })
  const middle = packed.length >> 1
  packed[middle] = (packed[middle] ?? 0) ^ 0xff
  t.match((await read(t, packed)).at(-1), { why: /data is damaged; nothing after/ })
})

for (const [name, content] of [
  ['zeros and more gzip', [gzipSync(ONE), Buffer.alloc(512), gzipSync(TWO)]],
  ['text, after gzip', [gzipSync(ONE), Buffer.from(TWO)]],
  ['text, after zstd', [zstdCompressSync(ONE), Buffer.from(TWO)]],
] as const) {
  void test(`what follows compressed data is reported: ${name}`, async (t) => {
    const lines = await read(t, Buffer.concat(content))
    t.match(lines.at(-1), { why: /nothing after this line was read/ })
  })
}

for (const [name, magic] of [
  ['xz', 'fd377a585a0000'],
  ['bzip2', '425a683931'],
  ['lz4', '04224d1864'],
  ['zip', '504b030414'],
] as const) {
  void test(`a file that is compressed with ${name} is refused by name`, async (t) => {
    const content = Buffer.from(magic, 'hex')
    await t.rejects(read(t, content), {
      message: new RegExp(`is compressed with ${name}; decompress`),
    })
  })
}
