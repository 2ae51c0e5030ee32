// `verify` with each version of etcd that Kubernetes runs on, with TLS, users, and the snapshots of its own etcdctl:
// npm run test:etcd
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { debianEtcd } from '../../real/cluster/debian-etcd.ts'
import { SecureEtcd, type EtcdPrograms } from '../../real/cluster/secure-etcd.ts'
import { obtain } from '../../real/host/parts.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { kmsV2Value, KUBE_SYSTEM } from '../../verify/envelopes.ts'
import { reportOf, runVerify } from '../../verify/run-verify.ts'

const VERSIONS: readonly (readonly [name: string, get: () => Promise<EtcdPrograms>])[] = [
  ['of Debian', debianEtcd],
  ['3.5', async () => ({ etcd: await obtain('etcd-3.5'), etcdctl: await obtain('etcdctl-3.5') })],
  ['3.6', async () => ({ etcd: await obtain('etcd'), etcdctl: await obtain('etcdctl') })],
  ['3.7', async () => ({ etcd: await obtain('etcd-3.7'), etcdctl: await obtain('etcdctl-3.7') })],
]

const name = (number: number) => `/registry/secrets/default/s${String(number).padStart(5, '0')}`
const value = (version: number) =>
  kmsV2Value({ source: Buffer.from(`vault:v${String(version)}:QUJD`), data: Buffer.alloc(900, 1) })

/** 2,000 Secrets, of which 500 are overwritten and 100 deleted. */
async function fill({ writer }: SecureEtcd): Promise<void> {
  await writer.put(...KUBE_SYSTEM)
  const names = Array.from({ length: 2_000 }, (_, at) => name(at))
  await Promise.all(names.map((key) => writer.put(key, value(1))))
  await Promise.all(names.slice(0, 500).map((key) => writer.put(key, value(2))))
  await Promise.all(names.slice(1_900).map((key) => writer.delete(key)))
}

const EXPECTED = {
  ok: true,
  objects: 1_901,
  plain: 0,
  unreadable: 0,
  gaps: [],
  keyVersionsNeeded: [{ versions: [2, 1] }],
}

async function addUsers(etcd: SecureEtcd): Promise<void> {
  for (const user of ['root', 'reader', 'nobody'])
    await etcd.etcdctl('user', 'add', `${user}:${user}-password`)
  await etcd.etcdctl('user', 'grant-role', 'root', 'root')
  await etcd.etcdctl('role', 'add', 'reading')
  await etcd.etcdctl('role', 'grant-permission', 'reading', 'read', '/registry/', '--prefix=true')
  await etcd.etcdctl('user', 'grant-role', 'reader', 'reading')
  await etcd.etcdctl('auth', 'enable')
}

for (const [version, get] of VERSIONS) {
  void test(`etcd ${version}`, async (t) => {
    const programs = await get()
    const etcd = await SecureEtcd.start(programs)
    t.teardown(() => etcd.stop())
    t.comment((await etcd.etcdctl('version')).split('\n')[0] ?? '')
    await fill(etcd)

    const live = await reportOf(...etcd.access())
    t.match(live.report, EXPECTED, 'live, with TLS and a client certificate')
    t.equal(live.code, 0)

    const snapshot = await etcd.saveSnapshot()
    t.match((await reportOf('--snapshot', snapshot)).report, EXPECTED, 'its snapshot')
    const changed = Buffer.from(readFileSync(snapshot))
    changed[9_000] = (changed[9_000] ?? 0) ^ 1
    const damaged = join(tempFolder('snapshot'), 'damaged.db')
    writeFileSync(damaged, changed)
    t.match(await runVerify('--snapshot', damaged), {
      code: 1,
      stderr: /its SHA-256 does not match/,
    })

    await etcd.etcdctl('compact', live.report.revisions[0] ?? '', '--physical')
    await etcd.etcdctl('defrag')
    const smaller = await etcd.saveSnapshot()
    t.ok(readFileSync(smaller).length < changed.length)
    t.match((await reportOf('--snapshot', smaller)).report, EXPECTED, 'compacted and defragmented')

    await addUsers(etcd)
    const password = (user: string) => {
      const file = join(tempFolder('password'), user)
      writeFileSync(file, `${user}-password\n`)
      return ['--user', user, '--password-file', file]
    }
    const reader = await reportOf(...etcd.access(), ...password('reader'))
    t.match(reader.report, EXPECTED, 'as a user with a password')
    const certificate = await etcd.authority.client('reader')
    t.match(
      (await reportOf(...etcd.access(certificate))).report,
      EXPECTED,
      'as the user that the client certificate names',
    )
    t.match(await runVerify(...etcd.access(), ...password('nobody')), {
      code: 1,
      stderr: /etcd denies this user the keys/,
    })
    const byUser = await etcd.saveSnapshot('--user=root:root-password')
    t.match((await reportOf('--snapshot', byUser)).report, EXPECTED, 'its snapshot with users')
  })
}
