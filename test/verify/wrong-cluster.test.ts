// Encrypted namespaces cannot be compared, so other evidence must show of which cluster a store is.
import { randomUUID } from 'node:crypto'
import { test } from 'tap'

import { BridgeError } from '../../src/errors.ts'
import { makeAnnotations } from '../../src/seed/annotations.ts'
import { findWrongCluster, isSameCluster, judgeRestored } from '../../src/verify/wrong-cluster.ts'
import { memoryStore } from '../escrow/memory-store.ts'
import { kmsV2Value } from './envelopes.ts'

const PREFIX = '/registry/'
const LEASE = `${PREFIX}leases/kube-system/apiserver-a`

const encryptedBy = (clusterId: string) =>
  kmsV2Value({
    keyId: 'tb1-a',
    source: Buffer.alloc(48, 1),
    annotations: { ...makeAnnotations(clusterId) },
    data: Buffer.alloc(60, 2),
  })

void test('a snapshot of another cluster is recognized by the cluster id of its annotations', async (t) => {
  const store = memoryStore([])
  const ours = { otherThan: 'uid', clusterId: 'ours' }
  const find = (stored: Buffer) => findWrongCluster(stored, ours, store, PREFIX)
  t.same(await find(encryptedBy('theirs')), [])
  t.match(await find(encryptedBy('ours')), [/^it belongs to this cluster/])
  const secretbox = Buffer.from(`k8s:enc:secretbox:v1:key1:${'x'.repeat(60)}`)
  t.match(await find(secretbox), [/so it is not proved that it belongs to another cluster/])
  const foreign = kmsV2Value({
    keyId: 'k',
    source: Buffer.alloc(9, 1),
    annotations: {},
    data: Buffer.alloc(60),
  })
  t.match(await find(foreign), [/so it is not proved that it belongs to another cluster/])
})

void test('two stores are of one cluster if the namespace has the same uid, or the same bytes', (t) => {
  const plain = (uid: string) => Buffer.from(`k8s\0kube-system"${uid}x`, 'latin1')
  const [one, other] = [randomUUID(), randomUUID()]
  t.equal(isSameCluster(plain(one), Buffer.from(`{"uid":"${one}"}`)), true)
  t.equal(isSameCluster(plain(one), plain(other)), false)
  t.equal(isSameCluster(encryptedBy('a'), encryptedBy('a')), true)
  t.equal(isSameCluster(encryptedBy('a'), encryptedBy('b')), undefined)
  t.equal(isSameCluster(plain(one), encryptedBy('a')), undefined)
  t.end()
})

void test('an etcd is that of the cluster if a Lease has the same version in both', async (t) => {
  const held = new Map([[LEASE, '7']])
  const store = { ...memoryStore([]), readRevisions: () => Promise.resolve(held) }
  const find = (readLeases: () => Promise<ReadonlyMap<string, string>>) =>
    findWrongCluster(encryptedBy('ours'), { uid: 'uid', readLeases }, store, PREFIX)
  t.same(await find(() => Promise.resolve(new Map([['apiserver-a', '7']]))), [])
  let version = 4
  const renewed = () => Promise.resolve(new Map([['apiserver-a', String((version += 1))]]))
  t.same(await find(renewed), [], 'it is compared again, because it may be renewed meanwhile')
  for (const leases of [[['apiserver-a', '8']], [['apiserver-b', '7']], []] as const) {
    const gaps = await find(() => Promise.resolve(new Map(leases)))
    t.match(gaps, [/so it is not proved that this is the etcd of the cluster; check --endpoints/])
  }
  const denied = new BridgeError('KUBE_DENIED', 'the API server denies GET leases')
  t.match(await find(() => Promise.reject(denied)), [/not proved .*denies GET leases/])
  const snapshot = memoryStore([])
  const leases = () => Promise.resolve(new Map([['apiserver-a', '7']]))
  const gaps = await findWrongCluster(
    encryptedBy('ours'),
    { uid: 'uid', readLeases: leases },
    snapshot,
    PREFIX,
  )
  t.match(gaps, [/not proved/])
})

void test('an etcd of the same cluster that is older than the etcd snapshot was not restored from it', (t) => {
  const store = (revisions: readonly string[], uid = randomUUID()) => ({
    cluster: Buffer.from(`{"uid":"${uid}"}`),
    revisions,
  })
  const uid = randomUUID()
  const snapshot = store(['1000'], uid)
  const older = 'this etcd is at revision 999, older than the snapshot (1000): another snapshot was'
  t.match(judgeRestored(store(['999'], uid), snapshot), { state: 'to do', words: older })
  t.match(
    judgeRestored(store(['1001', '999'], uid), snapshot),
    { state: 'to do', words: older },
    'etcd was compacted while it was read',
  )
  for (const revision of ['1000', '10000'])
    t.match(judgeRestored(store([revision], uid), snapshot), {
      state: 'ok',
      words: /^it belongs to the cluster of the snapshot and is not older .*check yourself/,
    })
  t.match(judgeRestored(store(['1001']), snapshot), { state: 'to do', words: /a different uid/ })
  for (const unknown of [[], ['0']])
    t.match(judgeRestored(store(unknown, uid), snapshot), { state: 'not checked' })
  const changed = { cluster: encryptedBy('a'), revisions: ['999'] }
  t.match(judgeRestored(changed, snapshot), { state: 'to do', words: older })
  t.match(judgeRestored({ ...changed, revisions: ['1000'] }, snapshot), { state: 'not checked' })
  t.end()
})
