import { execFileSync } from 'node:child_process'
import { closeSync, constants, openSync, readFileSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { LogSink } from '../../src/telemetry/log-sink.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

function sinkInto(descriptor: number) {
  let dropped = 0
  const sink = new LogSink({ descriptor, onDropped: (lines) => void (dropped += lines) })
  return { sink, dropped: () => dropped }
}

/** A pipe that is full. */
function fullPipe() {
  const path = join(tempFolder('pipe'), 'pipe')
  execFileSync('mkfifo', [path])
  const descriptor = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  let bytes = 0
  try {
    for (;;) bytes += writeSync(descriptor, Buffer.alloc(4_096, '.'))
  } catch {
    return { descriptor, bytes }
  }
}

void test('lines are written in their order, and flush waits for them', async (t) => {
  const file = join(tempFolder('log'), 'log')
  const descriptor = openSync(file, 'w')
  const { sink, dropped } = sinkInto(descriptor)
  const lines = Array.from({ length: 5_000 }, (_, count) => `{"count":${String(count)}}\n`)
  for (const line of lines) sink.write(line)
  await sink.flush(30_000)
  t.equal(readFileSync(file, 'utf8'), lines.join(''))
  t.equal(dropped(), 0)
  closeSync(descriptor)
})

void test('control characters in a name do not reach the terminal that shows the log', async (t) => {
  const file = join(tempFolder('log'), 'log')
  const descriptor = openSync(file, 'w')
  const { sink } = sinkInto(descriptor)
  const entry = { name: '\u001b[2J\u009b31m\u202e\u2028\u{e0001}', more: 'a\tb\nc' }
  sink.write(`${JSON.stringify(entry)}\n`)
  await sink.flush(30_000)
  const text = readFileSync(file, 'utf8')
  t.notMatch(text, /[^\P{C}\n]|[\u2028\u2029]/u)
  t.same(JSON.parse(text), entry, 'the JSON is the same')
  closeSync(descriptor)
})

void test('lines that cannot be written are dropped and counted', async (t) => {
  const descriptor = openSync('/dev/full', 'w')
  const { sink, dropped } = sinkInto(descriptor)
  for (let count = 0; count < 10; count += 1) sink.write('line\n')
  await sink.flush(30_000)
  t.equal(dropped(), 10)
  closeSync(descriptor)
})

void test('what waits for a reader is bounded, and is written when the reader continues', async (t) => {
  const { descriptor, bytes } = fullPipe()
  const { sink, dropped } = sinkInto(descriptor)
  const line = `${'x'.repeat(1_023)}\n`
  for (let count = 0; count < 2_000; count += 1) sink.write(line)
  const kept = 2_000 - dropped()
  t.ok(kept >= 1_024 && kept < 1_100, `${String(kept)} KiB are kept`)
  await sink.flush(10)

  const read = Buffer.alloc(65_536)
  let left = bytes + kept * line.length
  while (left > 0) {
    try {
      left -= readSync(descriptor, read)
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  await sink.flush(30_000)
  t.equal(left, 0)
  closeSync(descriptor)
})
