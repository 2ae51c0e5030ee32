// The built program with more objects: memory, an interrupt, and readers that close early.
import { randomBytes } from 'node:crypto'
import { after, test } from 'tap'
import { request } from 'undici'
import type { Report } from '../../../src/verify/report.ts'
import { eventually } from '../../real/host/eventually.ts'
import { buildProgram } from '../../commands/program.ts'
import { Etcd } from '../../real/cluster/etcd.ts'
import { kmsV2Value, KUBE_SYSTEM } from '../../verify/envelopes.ts'
import { runMeasured } from '../../verify/measured-run.ts'
import { putAll, saveSnapshot } from '../../verify/snapshot-of.ts'

const SECRETS = 10_000
const MAX_MEMORY_MIB = 150

buildProgram()
const etcd = await Etcd.start()
after(() => etcd.stop())
const entries = Array.from({ length: SECRETS }, (_, at) => {
  const source = Buffer.from(`vault:v${String(1 + (at % 2))}:QUJD`)
  const data = randomBytes(900)
  return [`/registry/secrets/a/s${String(at)}`, kmsV2Value({ source, data })] as const
})
await putAll(etcd, [KUBE_SYSTEM, ...entries])

for (const kind of ['live', 'snapshot'] as const) {
  void test(`${String(SECRETS)} Secrets, ${kind}: right, in bounded memory`, async (t) => {
    const source =
      kind === 'live'
        ? ['--endpoints', etcd.address, '--rate', '1000000']
        : ['--snapshot', await saveSnapshot(etcd)]
    const { code, stdout, stderr, seconds, memory } = await runMeasured([...source, '--json'])
    t.strictSame([code, stderr], [0, ''])
    const report = JSON.parse(stdout) as Report
    t.match(report, { ok: true, objects: SECRETS + 1, seeds: 2 })
    t.same(report.keyVersionsNeeded[0]?.versions, [2, 1])
    t.ok(memory > 0 && memory < MAX_MEMORY_MIB, `${memory.toFixed(0)} MiB`)
    t.comment(`${seconds.toFixed(1)} s, ${memory.toFixed(0)} MiB`)
  })
}

void test('an interrupt ends it, and it reports that nothing is proved', async (t) => {
  const slow = ['--endpoints', etcd.address, '--rate', '1']
  const before = await countReads()
  const { code, stdout, stderr } = await runMeasured(slow, (child) => {
    // A count and a page; then it pauses for longer than the test.
    void eventually('two reads', async () => (await countReads()) >= before + 2).then(() =>
      child.kill('SIGINT'),
    )
  })
  t.equal(stdout, '')
  t.strictSame(
    [code, stderr],
    [1, 'transit-bridge: stopped before the end, so nothing is proved\n'],
  )
})

/** The number of range requests that etcd received, by its own metrics. */
async function countReads(): Promise<number> {
  const answer = await request(`${etcd.address}/metrics`)
  return Number(/^etcd_mvcc_range_total (\S+)$/m.exec(await answer.body.text())?.[1])
}
