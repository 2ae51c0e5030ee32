import { appendFileSync, closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { end, test } from 'tap'
import { tempFolder } from '../real/host/temp-folder.ts'
import { rememberSecret } from '../real/program/told-secrets.ts'
import { Findings } from './watch/findings.ts'
import { HandedOut } from './load/handed-out.ts'
import { LogWatch } from './watch/log-watch.ts'
import { PodRecords } from './load/pod-records.ts'
import { Plaintexts } from './random.ts'
import { judgeLevels, type Usage } from './watch/resource-level.ts'
import { parseMetrics, readUsage } from './watch/usage-watch.ts'

/** An hour of samples whose figures follow from the share of the time that has passed. */
function samplesOf(change: (passed: number, at: number) => Partial<Usage>): Usage[] {
  return Array.from({ length: 361 }, (_none, at) => ({
    atMs: at * 10_000,
    residentMiB: 110,
    heapMiB: 20 + (at % 6) * 4,
    files: 30,
    timers: 2,
    sockets: 5,
    ...change(at / 360, at),
  }))
}

function rising(samples: readonly Usage[]) {
  return judgeLevels(samples)
    ?.filter(({ isLevel }) => !isLevel)
    .map(({ figure }) => figure)
}

void test('what does not rise is level, also with garbage and peaks', (t) => {
  t.same(rising(samplesOf(() => ({}))), [])
  const withPeak = samplesOf((passed) => (passed === 0.9 ? { heapMiB: 200, files: 90 } : {}))
  t.same(rising(withPeak), [])
  const warmsUp = samplesOf((passed) => ({ residentMiB: passed < 0.01 ? 60 : 110 }))
  t.same(rising(warmsUp), [])
  t.end()
})

void test('a leak is found in each figure', (t) => {
  const leaks = {
    heapMiB: (passed: number, at: number) => ({ heapMiB: 20 + (at % 6) * 4 + passed * 30 }),
    residentMiB: (passed: number) => ({ residentMiB: 110 + passed * 80 }),
    files: (passed: number) => ({ files: 30 + Math.floor(passed * 30) }),
    timers: (passed: number) => ({ timers: 2 + Math.floor(passed * 60) }),
    sockets: (passed: number) => ({ sockets: 5 + Math.floor(passed * 30) }),
  }
  for (const [figure, change] of Object.entries(leaks))
    t.same(rising(samplesOf(change)), [figure], figure)
  t.end()
})

void test('there is no judgment of a short life, or without the figures of the program', (t) => {
  const samples = samplesOf(() => ({}))
  t.equal(judgeLevels([]), undefined)
  t.equal(judgeLevels(samples.slice(0, 6)), undefined)
  t.equal(judgeLevels(samplesOf(() => ({ heapMiB: undefined }))), undefined)
  t.end()
})

void test('open files of a process are counted, and what its metrics say', (t) => {
  const before = readUsage(process.pid)
  const opened = Array.from({ length: 20 }, () => openSync(import.meta.filename, 'r'))
  const after = readUsage(process.pid)
  for (const file of opened) closeSync(file)
  t.ok(after.files >= before.files + 20)
  t.ok(before.residentMiB > 10)
  const page = [
    'nodejs_heap_size_used_bytes 20971520',
    'nodejs_active_resources{type="PipeServerWrap"} 1',
    'nodejs_active_resources{type="TCPSocketWrap"} 4',
    'nodejs_active_resources{type="Timeout"} 3',
    'nodejs_active_resources{type="FSReqPromise"} 7',
  ]
  t.same(parseMetrics(page.join('\n')), { heapMiB: 20, timers: 3, sockets: 5 })
  t.same(parseMetrics(''), {})
  t.end()
})

void test('a crash, a fatal line and a secret in a log are found, also in the last line', (t) => {
  const path = join(tempFolder('log'), 'log')
  const findings = new Findings()
  const secret = 'correct horse battery'
  rememberSecret(secret)
  writeFileSync(path, '{"level":"info","msg":"started"}\n{"level":"warn","ms')
  const watch = new LogWatch('plugin', path, findings)
  watch.read()
  appendFileSync(path, 'g":"in two pieces"}\n{"level":"error","msg":"refused"}\n')
  watch.read()
  t.same(watch.counts, { lines: 3, warnings: 1, errors: 1 })
  t.equal(findings.total, 0)
  appendFileSync(path, '{"level":"fatal","msg":"uncaught error; ending"}\nTypeError: x is not\n')
  appendFileSync(path, `{"level":"info","msg":"it is ${secret}"}`)
  watch.readToEnd()
  t.same(
    findings.kept.map(({ kind }) => kind),
    ['log', 'log', 'secret'],
  )
  t.notMatch(JSON.stringify(findings.kept), secret)
  t.end()
})

void test('only so many findings are kept, and all are counted', (t) => {
  const findings = new Findings()
  for (let count = 0; count < 100; count += 1) findings.add('call', String(count))
  t.equal(findings.kept.length, 20)
  t.equal(findings.total, 100)
  t.end()
})

void test('what was handed out is read from the file as it was, by place and by object', (t) => {
  const plaintexts = new Plaintexts('records')
  const handedOut = new HandedOut(join(tempFolder('soak'), 'records'), plaintexts)
  for (let count = 0; count < 100; count += 1) {
    const annotations = { 'version.test': Buffer.from('2'), 'key.test': Buffer.alloc(count, count) }
    const ciphertext = Buffer.alloc(60 + count, count)
    const plaintext = handedOut.nextPlaintext()
    const seed = { keyId: `tb1-${String(count)}`, ciphertext, annotations }
    handedOut.add(plaintext, seed, 1 + Math.floor(count / 50), count % 10)
  }
  const expected = {
    plaintext: 8,
    version: 1,
    seed: {
      keyId: 'tb1-7',
      ciphertext: Buffer.alloc(67, 7),
      annotations: { 'version.test': Buffer.from('2'), 'key.test': Buffer.alloc(7, 7) },
    },
  }
  t.same(handedOut.get(7), expected)
  t.match(handedOut.ofObject(3), { plaintext: 94, version: 2 })
  t.same(handedOut.objectsBefore(2), [])
  t.equal(handedOut.objectsBefore(3).length, 10)
  t.equal(handedOut.ofObject(11), undefined)
  handedOut.close()
  const pods = new PodRecords(join(tempFolder('soak'), 'pods'), () => 1)
  pods.add(5, 'vault:v1:abc')
  t.same(pods.get(0), { plaintext: 5, ciphertext: 'vault:v1:abc' })
  t.throws(() => pods.get(1), /no record 1/)
  pods.close()
  t.end()
})

end()
