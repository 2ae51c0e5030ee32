import { test } from 'tap'
import type { BodyChange } from '../../real/faults/http-proxy.ts'
import { renderPolicy } from '../../real/vault/transit-setup.ts'
import { linesSaying, newSeed, outcomeOf, Fixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

const fixture = await Fixture.open()
const KMS = { refreshInterval: '1s' }

const isDataPath = (_method: string, path: string) =>
  path.includes('/transit/encrypt/') || path.includes('/transit/decrypt/')

/** What a Vault before 1.13 does: it ignores associated_data without an error (hashicorp/vault#17638). */
const stripAssociatedData: BodyChange = ({ associated_data: _ignored, batch_input, ...rest }) =>
  Array.isArray(batch_input)
    ? { ...rest, batch_input: (batch_input as Record<string, unknown>[]).map(stripAssociatedData) }
    : rest

void test('a Transit that ignores associated_data is reported, and encrypts nothing', async (t) => {
  const proxy = await fixture.httpProxy()
  proxy.change(stripAssociatedData, { match: isDataPath })
  const plugin = await fixture.start({ address: proxy.address, kms: KMS })
  await plugin.waitForHealth(/associated_data.*1\.13/)
  const { client } = plugin
  const refused = await outcomeOf(client.encrypt(newSeed()))
  t.match(refused, { code: 'FAILED_PRECONDITION', message: /associated_data/ })

  proxy.clear()
  await plugin.waitForHealth('ok')
  const plaintext = newSeed()
  t.same(await client.decrypt(await client.encrypt(plaintext)), plaintext)
  await plugin.stop()
})

void test('an Encrypt that arrives before the first proof waits for it', async (t) => {
  const proxy = await fixture.httpProxy()
  proxy.change(stripAssociatedData, { match: isDataPath })
  const plugin = await fixture.start({ address: proxy.address, kms: KMS })
  t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'FAILED_PRECONDITION' })
  await plugin.stop()
})

void test('a Vault that returns another plaintext is reported at once, and decrypts nothing until a proof passes', async (t) => {
  const proxy = await fixture.httpProxy()
  const plugin = await fixture.startHealthy({ address: proxy.address, kms: KMS })
  const { client } = plugin
  const plaintext = newSeed()
  const wrapped = await client.encrypt(plaintext)

  const isDecrypt = (_method: string, path: string) => path.includes('/transit/decrypt/')
  const wrong = { data: { plaintext: newSeed().toString('base64') } }
  proxy.respond({ status: 200, body: wrong }, { match: isDecrypt })
  const isEncrypt = (_method: string, path: string) => path.includes('/transit/encrypt/')
  const short = { data: { ciphertext: 'vault:v1:AAAA' } }
  proxy.respond({ status: 200, body: short }, { match: isEncrypt, times: 1 })
  t.match(await outcomeOf(client.encrypt(newSeed())), {
    code: 'UNAVAILABLE',
    message: /a ciphertext whose length does not match/,
  })
  await plugin.waitForHealth(/test value/)
  for (const call of [client.decrypt(wrapped), client.encrypt(plaintext)])
    t.match(await outcomeOf(call), { code: 'FAILED_PRECONDITION', message: /test value/ })

  proxy.clear()
  await plugin.waitForHealth('ok')
  t.same(await client.decrypt(wrapped), plaintext)
  await plugin.stop()
})

for (const bytes of [0, 27, 33]) {
  void test(`a plaintext of ${String(bytes)} bytes for a seed of 32 is refused`, async (t) => {
    const proxy = await fixture.httpProxy()
    const plugin = await fixture.startHealthy({ address: proxy.address, kms: KMS })
    const wrapped = await plugin.client.encrypt(newSeed())
    const plaintext = Buffer.alloc(bytes).toString('base64')
    proxy.respond(
      { status: 200, body: { data: { plaintext } } },
      { match: (_method, path) => path.includes('/transit/decrypt/'), times: 1 },
    )
    const refused = await outcomeOf(plugin.client.decrypt(wrapped))
    t.match(refused, { code: 'UNAVAILABLE', message: /a plaintext whose length does not match/ })
    await plugin.stop()
  })
}

const STRICT_POLICY = `
path "transit/keys/k8s-etcd" { capabilities = ["read"] }
path "transit/encrypt/k8s-etcd" { capabilities = ["update"] }
path "transit/decrypt/k8s-etcd" {
  capabilities = ["update"]
  allowed_parameters = { "ciphertext" = [], "associated_data" = [] }
}`

void test('a policy that denies batch_input: concurrent Decrypts succeed, and the log names the cause', async (t) => {
  await fixture.vault.writePolicy(STRICT_POLICY)
  const plugin = await fixture.startHealthy({ kms: KMS })
  const { client } = plugin
  const plaintexts = Array.from({ length: 64 }, newSeed)
  const wrapped = await Promise.all(plaintexts.map((plaintext) => client.encrypt(plaintext)))
  t.same(await Promise.all(wrapped.map((each) => client.decrypt(each))), plaintexts)
  t.equal((await client.status()).healthz, 'ok')
  const warnings = () => linesSaying(plugin, 'Vault denies batches')
  await eventually('the warning', () => warnings().length > 0)
  t.match(warnings(), [{ level: 'warn', msg: /batch_input/ }])
  await fixture.vault.writePolicy(await renderPolicy('kms.hcl'))
  await plugin.stop()
})

void test('a batch that is denied once, as while a token is revoked, does not stop batches', async (t) => {
  const proxy = await fixture.httpProxy()
  const plugin = await fixture.startHealthy({ address: proxy.address, kms: KMS })
  const plaintext = newSeed()
  const wrapped = await plugin.client.encrypt(plaintext)
  const denied = { status: 403, body: { errors: ['permission denied'] } }
  const match = (_method: string, path: string) => path.includes('/transit/decrypt/')
  // The first denial causes a login; a later one counts, because the new token is young.
  for (const times of [2, 1, 1, 1]) {
    proxy.respond(denied, { match, times })
    const calls = Array.from({ length: 64 }, () => plugin.client.decrypt(wrapped))
    for (const call of await Promise.allSettled(calls))
      if (call.status === 'fulfilled') t.same(call.value, plaintext)
  }
  t.strictSame(linesSaying(plugin, 'Vault denies batches'), [])
  t.equal(await plugin.stop(), 0)
})

fixture.end()
