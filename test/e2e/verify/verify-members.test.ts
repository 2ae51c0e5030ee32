// What several members of etcd prove: a learner answers no reads, corrupt members prove nothing, and neither do two clusters.
import { after, test } from 'tap'
import { EtcdClient } from '../../../src/etcd/client.ts'
import { EtcdStore } from '../../../src/etcd/live-store.ts'
import { Etcd } from '../../real/cluster/etcd.ts'
import { obtain } from '../../real/host/parts.ts'
import { freePort } from '../../real/host/port.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { Program } from '../../real/program/program.ts'
import { readAll } from '../../verify/read-all.ts'
import { reportOf, runVerify } from '../../verify/run-verify.ts'
import { callEtcd } from '../../verify/snapshot-of.ts'

const SECRETBOX = Buffer.from(`k8s:enc:secretbox:v1:key1:${'x'.repeat(60)}`)

async function startStore(): Promise<Etcd> {
  const etcd = await Etcd.start()
  after(() => etcd.stop())
  await etcd.put('/registry/namespaces/kube-system', Buffer.from('k8s\0'))
  await etcd.put('/registry/secrets/default/a', SECRETBOX)
  return etcd
}

const etcd = await startStore()

type Members = { members: { ID: string; peerURLs: string[] }[] }

/** Adds a second member, which answers when this returns. */
async function startLearner(): Promise<string> {
  const address = `http://127.0.0.1:${String(await freePort())}`
  const peer = `http://127.0.0.1:${String(await freePort())}`
  const { members } = (await callEtcd(etcd, 'cluster/member/list', {})) as Members
  await callEtcd(etcd, 'cluster/member/add', { peerURLs: [peer], isLearner: true })
  const program = Program.start({
    name: 'learner',
    command: await obtain('etcd'),
    folder: tempFolder('learner'),
    args: [
      '--name=two',
      '--data-dir=data',
      `--listen-client-urls=${address}`,
      `--advertise-client-urls=${address}`,
      `--listen-peer-urls=${peer}`,
      `--initial-advertise-peer-urls=${peer}`,
      `--initial-cluster=one=${String(members[0]?.peerURLs[0])},two=${peer}`,
      '--initial-cluster-state=existing',
      '--unsafe-no-fsync',
      '--log-level=error',
    ],
  })
  after(() => program.terminate({ graceMs: 500 }))
  await program.waitUntil('it answers', async () => {
    const { stderr } = await runVerify('--endpoints', address)
    return stderr.includes('is a learner')
  })
  return address
}

void test('a learner is not read, and another member is', async (t) => {
  const learner = await startLearner()
  t.match(await runVerify('--endpoints', learner), {
    code: 1,
    stdout: '',
    stderr: /this member of etcd is a learner.*name a voting member in --endpoints/,
  })
  const { report } = await reportOf('--endpoints', `${learner},${etcd.address}`)
  t.match(report, { ok: true, objects: 2, source: `etcd at ${etcd.address}` })
})

void test('members that hold different data prove nothing; a full member is still read', async (t) => {
  const { members } = (await callEtcd(etcd, 'cluster/member/list', {})) as Members
  const alarm = { memberID: members[0]?.ID, action: 'ACTIVATE' }
  const row = (kind: string) => callEtcd(etcd, 'maintenance/alarm', { ...alarm, alarm: kind })
  await row('NOSPACE')
  t.match((await reportOf('--endpoints', etcd.address)).report, { ok: true, gaps: [] })
  await row('CORRUPT')
  const { code, stdout } = await runVerify('--endpoints', etcd.address)
  t.equal(code, 1)
  t.match(stdout, /etcd reports "memberID:\d+ alarm:CORRUPT", so what one member holds proves/)
})

void test('endpoints of two clusters prove nothing', async (t) => {
  const [one, other] = [await startStore(), await startStore()]
  const client = new EtcdClient({ endpoints: [one.address, other.address] })
  const store = new EtcdStore({ client, onCompaction: () => undefined })
  t.teardown(() => store.close())
  t.same(await store.findPrefixes(), ['/registry/'])
  await one.kill()
  await t.rejects(readAll(store), {
    code: 'ETCD_FAILED',
    message: `${other.address} belongs to another etcd cluster than ${one.address}, so nothing is proved; check --endpoints`,
  })
})
