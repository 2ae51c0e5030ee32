import { test } from 'tap'
import type { AuditRequest } from '../../real/vault/audit-log.ts'
import type { WrappedSeed } from '../../real/program/kms-client.ts'
import { newSeed, Fixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

const fixture = await Fixture.open()
// With the default refresh interval: the requests that a user's Vault would receive are counted.
const plugin = await fixture.startHealthy()
const ENCRYPT = /^transit\/encrypt\//
const DECRYPT = /^transit\/decrypt\//

void test('100 Status calls make at most 2 requests to Vault', async (t) => {
  const since = fixture.bao.auditMark()
  for (let call = 0; call < 100; call += 1) t.equal((await plugin.client.status()).healthz, 'ok')
  t.ok(fixture.asked(since).length <= 2, `${String(fixture.asked(since).length)} requests`)
})

const seeds: { plaintext: Buffer; wrapped: WrappedSeed }[] = []

void test('20 Encrypts make 20 requests', async (t) => {
  const since = fixture.bao.auditMark()
  for (let call = 0; call < 20; call += 1) {
    const plaintext = newSeed()
    seeds.push({ plaintext, wrapped: await plugin.client.encrypt(plaintext) })
  }
  t.equal(fixture.asked(since, ENCRYPT).length, 20)
  t.ok(fixture.asked(since).length <= 21, 'and at most the read of the key that was due')
})

void test('20 sequential Decrypts make 20 requests', async (t) => {
  const since = fixture.bao.auditMark()
  for (const { plaintext, wrapped } of seeds) {
    t.same(await plugin.client.decrypt(wrapped), plaintext)
  }
  t.equal(fixture.asked(since, DECRYPT).length, 20)
  t.ok(fixture.asked(since).length <= 21, 'and at most the read of the key that was due')
})

void test('64 concurrent Decrypts make fewer requests than calls, and each has its own answer', async (t) => {
  const since = fixture.bao.auditMark()
  const calls = Array.from({ length: 64 }, (_, index) => seeds[index % seeds.length])
  const answers = await Promise.all(
    calls.map(async (seed) => seed && plugin.client.decrypt(seed.wrapped)),
  )
  t.same(
    answers,
    calls.map((seed) => seed?.plaintext),
  )
  const requests = fixture.asked(since, DECRYPT).length
  t.ok(requests < 32, `${String(requests)} requests`)
})

void test("the uid of a call is in Vault's audit file and in the log", async (t) => {
  const since = fixture.bao.auditMark()
  const uid = '5f2a9c1e-0000-4000-8000-0123456789ab'
  const wrapped = await plugin.client.encrypt(newSeed(), { uid })
  await plugin.client.decrypt(wrapped, { uid: `${uid}-2` })
  t.same(uidsOf(fixture.asked(since, ENCRYPT)), [uid])
  t.same(uidsOf(fixture.asked(since, DECRYPT)), [`${uid}-2`])
  const lines = () => plugin.logLines().filter((line) => String(line['uid']).startsWith(uid))
  await eventually('the log lines', () => lines().length >= 2)
  t.match(lines(), [
    { level: 'debug', method: 'Encrypt', code: 'OK', uid },
    { level: 'debug', method: 'Decrypt', code: 'OK', uid: `${uid}-2` },
  ])
})

void test('the uids of Decrypts that share a request are all in the audit file', async (t) => {
  const since = fixture.bao.auditMark()
  const uids = Array.from({ length: 16 }, (_, index) => `shared-${String(index)}`)
  const [first] = seeds
  await Promise.all(uids.map(async (uid) => first && plugin.client.decrypt(first.wrapped, { uid })))
  const seen = uidsOf(fixture.asked(since, DECRYPT)).flatMap((value) => value.split(','))
  t.same(seen.toSorted(), uids.toSorted())
})

// A minute is long. What is counted here is that the only request at rest is one read of the key for each
// refresh interval, however long that is: at 30 s, it is 2 or 3 a minute.
void test('without calls the key is read once in each refresh interval, and nothing else is requested', async (t) => {
  const intervals = [1, 2]
  const watched = await Promise.all(
    intervals.map(async (seconds) => {
      const proxy = await fixture.httpProxy()
      const resting = await fixture.startHealthy({
        address: proxy.address,
        kms: { refreshInterval: `${String(seconds)}s` },
      })
      return { seconds, proxy, resting }
    }),
  )
  for (const { proxy } of watched) proxy.forget()
  const began = performance.now()
  const slowest = watched[watched.length - 1]
  await eventually('three reads by the slower one', () => (slowest?.proxy.count() ?? 0) >= 3)
  for (const { seconds, proxy, resting } of watched) {
    const count = proxy.count()
    const elapsed = (performance.now() - began) / 1000
    const most = Math.ceil(elapsed / (seconds * 0.9)) + 1
    t.ok(
      count <= most,
      `${String(count)} requests in ${elapsed.toFixed(1)} s at ${String(seconds)} s`,
    )
    t.equal(proxy.count('GET', '/v1/transit/keys/k8s-etcd'), count, 'all are reads of the key')
    await resting.stop()
  }
  const [fast, slow] = watched
  t.ok((fast?.proxy.count() ?? 0) > (slow?.proxy.count() ?? 0), 'the interval decides')
})

fixture.end()

function uidsOf(requests: AuditRequest[]): string[] {
  return requests.flatMap(({ headers }) => headers['x-transit-bridge-uid'] ?? [])
}
