import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'tap'
import { EtcdClient } from '../../../src/etcd/client.ts'
import { EtcdStore } from '../../../src/etcd/live-store.ts'
import { prefixesOf } from '../../../src/etcd/store.ts'
import { Etcd } from '../../real/cluster/etcd.ts'
import { SecureEtcd } from '../../real/cluster/secure-etcd.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import { freePort } from '../../real/host/port.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { ALL, openLive, readAll } from '../../verify/read-all.ts'
import { reportOf, runVerify } from '../../verify/run-verify.ts'
import { callEtcd, putAll } from '../../verify/snapshot-of.ts'

const etcd = await Etcd.start()
after(() => etcd.stop())

const say = (text: string) => ({ code: 1, stdout: '', stderr: `transit-bridge: ${text}\n` })
const name = (number: number) => `/registry/secrets/default/s${String(number).padStart(5, '0')}`

void test('an etcd without keys proves nothing', async (t) => {
  const words = `etcd at ${etcd.address} holds no keys; check that it is the etcd of the cluster`
  t.strictSame(await runVerify('--endpoints', etcd.address), say(words))
})

void test('keys under another prefix are reported', async (t) => {
  await etcd.put('/kubernetes.io/secrets/default/a', Buffer.from('k8s\0'))
  await etcd.put('compact_rev_key', Buffer.from('1'))
  t.strictSame(
    await runVerify('--endpoints', etcd.address),
    say(
      `etcd at ${etcd.address} has no keys under /registry/, only under /kubernetes.io/, compact_rev_key; pass the --etcd-prefix of kube-apiserver`,
    ),
  )
  const { report } = await reportOf('--endpoints', etcd.address, '--etcd-prefix', 'kubernetes.io')
  t.match(report, { plain: 1, prefix: '/kubernetes.io/' })
})

void test('all pages together are what etcd holds, regardless of the size of values', async (t) => {
  const entries = Array.from({ length: 10_500 }, (_, at) => [name(at), randomBytes(300)] as const)
  await putAll(etcd, entries)
  // With a first page of 100 such values an answer would be 100 MiB.
  for (let at = 0; at < 12; at += 1) {
    await etcd.put(`/registry/configmaps/a/large-${String(at)}`, randomBytes(1_400_000))
  }
  const live = openLive(etcd.address)
  const found = await readAll(live)
  const stored = await etcd.range('/registry/')
  t.same(
    found.map(([key]) => key),
    stored.map(({ key }) => key),
  )
  t.ok(found.every(([, value], at) => value === stored[at]?.value.toString('latin1')))
  t.equal(live.fraction, 1)
  await live.close()
})

void test('one revision: what is written meanwhile is not part of it', async (t) => {
  const live = openLive(etcd.address)
  const keys: string[] = []
  for await (const page of live.readPages(ALL, new AbortController().signal)) {
    if (keys.length === 0) await etcd.put(name(99_999), Buffer.from('later'))
    keys.push(...page.map(({ key }) => Buffer.from(key).toString('utf8')))
  }
  t.notOk(keys.includes(name(99_999)))
  t.equal(live.revisions.length, 1)
  await live.close()
})

void test('etcd that is compacted meanwhile is read to the end, and the report says so', async (t) => {
  const told: string[] = []
  const live = openLive(etcd.address, (revision, key) => told.push(`${String(revision)} ${key}`))
  const keys: string[] = []
  const { paths: _none, ...selection } = { ...ALL, paths: undefined }
  for await (const page of live.readPages(selection, new AbortController().signal)) {
    keys.push(...page.map(({ key }) => Buffer.from(key).toString('utf8')))
    if (told.length > 0 || keys.length < 100) continue
    await etcd.put(name(7), Buffer.from('changed'))
    const { header } = (await callEtcd(etcd, 'kv/range', { key: 'AA==' })) as {
      header: { revision: string }
    }
    await callEtcd(etcd, 'kv/compaction', { revision: header.revision })
  }
  t.same(
    keys,
    (await etcd.range('/registry/')).map(({ key }) => key),
  )
  t.ok(told.length > 0, told.join('; '))
  t.ok(live.revisions.length > 1)
  await live.close()
})

void test('etcd that is compacted during the first counts is read to the end as well', async (t) => {
  const client = new EtcdClient({ endpoints: [etcd.address] })
  let calls = 0
  const compacting: Pick<EtcdClient, 'endpoint' | 'range' | 'readErrors' | 'close'> = {
    endpoint: client.endpoint,
    close: () => client.close(),
    readErrors: () => client.readErrors(),
    range: async (request) => {
      const answer = await client.range(request)
      calls += 1
      if (calls > 2) return answer
      // After the first count, and again after the second: more objects than were counted, and the revision is gone.
      const added = `/registry/secrets/default/added-${String(calls)}`
      await etcd.put(added, Buffer.from('k8s\0'))
      const { header } = (await callEtcd(etcd, 'kv/range', { key: 'AA==' })) as {
        header: { revision: string }
      }
      await callEtcd(etcd, 'kv/compaction', { revision: header.revision })
      return answer
    },
  }
  const told: string[] = []
  const live = new EtcdStore({ client: compacting, onCompaction: (at) => told.push(String(at)) })
  const selection = { prefix: '/registry/', paths: ['configmaps/', 'secrets/'] }
  const found = await readAll(live, selection)
  const stored = [
    ...(await etcd.range('/registry/configmaps/')),
    ...(await etcd.range('/registry/secrets/')),
  ]
  t.same(
    found.map(([key]) => key),
    stored.map(({ key }) => key).toSorted(),
  )
  t.ok(told.length > 0)
  t.ok(live.revisions.length > 1, 'the report names every revision')
  await live.close()
  await etcd.delete('/registry/secrets/default/added-1')
  await etcd.delete('/registry/secrets/default/added-2')
})

void test('only what is asked for is read', async (t) => {
  t.same(prefixesOf({ prefix: '/registry/', paths: ['secrets/', 'pods/'] }), [
    '/registry/secrets/',
    '/registry/pods/',
  ])
  const { report } = await reportOf('--endpoints', etcd.address, '--resources', 'configmaps,pods')
  t.equal(report.objects, 12)
  t.match(report.resources, [{ resource: 'configmaps' }, { resource: 'pods', objects: 0 }])
})

void test('an etcd that is or becomes unreachable is reported in one line', async (t) => {
  const port = String(await freePort())
  t.strictSame(
    await runVerify('--endpoints', `127.0.0.1:${port}`),
    say(
      `etcd at http://127.0.0.1:${port} refuses the connection; check that etcd is running and that --endpoints is correct`,
    ),
  )
  const both = await reportOf('--endpoints', `127.0.0.1:${port},${etcd.address}`)
  t.ok(both.report.objects > 2500, 'the next endpoint is asked')
  t.match(await runVerify('--endpoints', etcd.address.replace('http:', 'https:')), {
    code: 1,
    stderr: /does not use TLS; write http:\/\//,
  })
})

void test('wrong certificates are distinguished', async (t) => {
  const secure = await SecureEtcd.start()
  t.teardown(() => secure.stop())
  const { authority, client, endpoint } = secure
  const other = await CertificateAuthority.create('another CA')
  const wrong = await other.client('somebody')
  const ask = (files: Record<string, string>) =>
    runVerify(
      '--endpoints',
      endpoint,
      ...Object.entries(files).flatMap(([option, file]) => [`--${option}`, file]),
    )
  const right = { cacert: authority.caFile, cert: client.certFile, key: client.keyFile }
  t.match(await ask(right), { stderr: /holds no keys/ })
  t.match(await ask({ ...right, cacert: other.caFile }), {
    code: 1,
    stderr:
      /^transit-bridge: etcd at .* has a certificate that is not signed by the authority in --cacert; .*\n$/,
  })
  t.match(await ask({ ...right, cert: wrong.certFile, key: wrong.keyFile }), {
    code: 1,
    stderr: /^transit-bridge: etcd at .* rejects the client certificate; .*\n$/,
  })
  t.match(await ask({ cacert: authority.caFile }), {
    code: 1,
    stderr: /^transit-bridge: etcd at .* requires a client certificate; pass --cert and --key\n$/,
  })
  t.match(await ask({ ...right, cacert: '/nowhere.pem' }), {
    code: 2,
    stderr: 'transit-bridge: --cacert /nowhere.pem: cannot be read: there is no such file\n',
  })
  const elsewhere = await SecureEtcd.start({ authority, host: '127.0.0.2' })
  t.teardown(() => elsewhere.stop())
  const files = Object.entries(right).flatMap(([option, file]) => [`--${option}`, file])
  t.match(await runVerify('--endpoints', elsewhere.endpoint, ...files), {
    code: 1,
    stderr:
      /^transit-bridge: etcd at https:\/\/127.0.0.2:.* has a certificate for other names; .*\n$/,
  })
  const plain = await runVerify('--endpoints', endpoint.replace('https', 'http'))
  t.match(plain, { code: 1, stderr: /if it uses TLS, write https:\/\// })
})

void test('users of etcd: no permission, wrong password, no user', async (t) => {
  const password = (text: string) => {
    const file = join(tempFolder('password'), 'password')
    writeFileSync(file, `${text}\n`)
    return file
  }
  const range = {
    key: Buffer.from('/registry/').toString('base64'),
    range_end: Buffer.from('/registry0').toString('base64'),
  }
  await callEtcd(etcd, 'auth/role/add', { name: 'reader' })
  const perm = { role: 'reader', perm: { permType: 'READ', ...range } }
  await callEtcd(etcd, 'auth/role/grant', { name: 'reader', ...perm })
  for (const user of ['root', 'reader', 'nobody']) {
    await callEtcd(etcd, 'auth/user/add', { name: user, password: `${user}-password` })
  }
  await callEtcd(etcd, 'auth/user/grant', { user: 'reader', role: 'reader' })
  await callEtcd(etcd, 'auth/role/add', { name: 'root' })
  await callEtcd(etcd, 'auth/user/grant', { user: 'root', role: 'root' })
  await callEtcd(etcd, 'auth/enable', {})
  const ask = (user: string, file: string) =>
    runVerify('--endpoints', etcd.address, '--user', user, '--password-file', file)
  t.match(await ask('reader', password('reader-password')), { code: 1, stdout: /NOT ok: of / })
  t.match(await ask('nobody', password('nobody-password')), {
    code: 1,
    stderr: /^transit-bridge: etcd denies this user the keys; grant it a role .*\n$/,
  })
  t.match(await ask('reader', password('wrong')), {
    code: 1,
    stderr: /^transit-bridge: etcd rejects the user name or password; .*\n$/,
  })
  t.match(await runVerify('--endpoints', etcd.address), {
    code: 1,
    stderr: /^transit-bridge: etcd requires a user; .*\n$/,
  })
})
