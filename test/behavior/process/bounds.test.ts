import { randomBytes } from 'node:crypto'
import { test } from 'tap'
import { KmsCallError, KmsClient, type WrappedSeed } from '../../real/program/kms-client.ts'
import { newSeed, outcomeOf, Fixture } from '../fixture.ts'

const fixture = await Fixture.open({ audit: false })
const proxy = await fixture.httpProxy()
const plugin = await fixture.startHealthy({ address: proxy.address, log: { level: 'info' } })
const { client } = plugin
const LARGE_BYTES = 60 * 1024

/** How often each status was returned. */
async function countOutcomes(calls: Promise<unknown>[]): Promise<Map<string, number>> {
  const counts = new Map<string, number>()
  for (const { code } of await Promise.all(calls.map(outcomeOf))) {
    counts.set(code, (counts.get(code) ?? 0) + 1)
  }
  return counts
}

/**
 * INTERNAL means that the request arrived too slowly (src/grpc/client-bounds.ts, requestTimeoutMs), which happens on a
 * slow machine; Vault never saw it, so it is sent again.
 */
async function decryptOnceArrived(wrapped: WrappedSeed, attempts = 20): Promise<Buffer> {
  try {
    return await client.decrypt(wrapped, { timeout: 60_000 })
  } catch (error) {
    const isSlow = error instanceof KmsCallError && error.code === 'INTERNAL'
    if (isSlow && attempts > 1) return decryptOnceArrived(wrapped, attempts - 1)
    throw error
  }
}

async function isServing(): Promise<boolean> {
  const next = new KmsClient(plugin.socket)
  try {
    const plaintext = newSeed()
    return plaintext.equals(await next.decrypt(await next.encrypt(plaintext)))
  } finally {
    next.close()
  }
}

void test('64 concurrent Decrypts of 60 KiB all succeed: a batch is cut by bytes', async (t) => {
  const wrapped = await client.encrypt(randomBytes(LARGE_BYTES))
  const calls = Array.from({ length: 64 }, () => decryptOnceArrived(wrapped))
  t.same(await countOutcomes(calls), new Map([['OK', 64]]))
})

void test('1,000 concurrent Decrypts of 60 KiB: each succeeds or is refused for its number, none by Vault', async (t) => {
  const wrapped = await client.encrypt(randomBytes(LARGE_BYTES))
  const calls = Array.from({ length: 1_000 }, () => client.decrypt(wrapped, { timeout: 30_000 }))
  const counts = await countOutcomes(calls)
  // INTERNAL: on a slow machine the last requests arrive too slowly (src/grpc/client-bounds.ts, requestTimeoutMs).
  const refusals = new Set(['RESOURCE_EXHAUSTED', 'INTERNAL', 'DEADLINE_EXCEEDED'])
  t.same(
    [...counts.keys()].filter((code) => code !== 'OK' && !refusals.has(code)),
    [],
  )
  t.ok((counts.get('OK') ?? 0) >= 64, JSON.stringify(Object.fromEntries(counts)))
  t.ok(await isServing())
})

void test('what Encrypt accepts Decrypt accepts, and nothing larger is encrypted', async (t) => {
  const largest = randomBytes(64 * 1024)
  t.same(await client.decrypt(await client.encrypt(largest)), largest)
  const tooLarge = randomBytes(64 * 1024 + 1)
  t.match(await outcomeOf(client.encrypt(tooLarge)), {
    code: 'INVALID_ARGUMENT',
    message: /65536 bytes/,
  })
})

void test('1,000 Encrypts and 500 Decrypts of 60 KiB while Vault hangs: the plugin keeps running', async (t) => {
  const wrapped = await client.encrypt(randomBytes(LARGE_BYTES))
  proxy.hold()
  const plaintext = randomBytes(LARGE_BYTES)
  const calls = Array.from({ length: 1_000 }, (_, index) => [
    client.encrypt(plaintext, { timeout: 4_000 }),
    ...(index % 2 === 0 ? [client.decrypt(wrapped, { timeout: 4_000 })] : []),
  ]).flat()
  const counts = await countOutcomes(calls)
  t.notOk(counts.has('OK'))
  t.comment(JSON.stringify(Object.fromEntries(counts)))
  proxy.clear()
  t.ok(await isServing())
  t.ok(plugin.program.running)
})

void test('24,000 Decrypts on 8 connections while Vault hangs: the plugin keeps running', async (t) => {
  const wrapped = await client.encrypt(newSeed())
  proxy.hold()
  const clients = Array.from({ length: 8 }, () => new KmsClient(plugin.socket))
  const calls = clients.flatMap((each) =>
    Array.from({ length: 3_000 }, () => each.decrypt(wrapped, { timeout: 8_000 })),
  )
  const counts = await countOutcomes(calls)
  t.comment(JSON.stringify(Object.fromEntries(counts)))
  t.notOk(counts.has('OK'))
  for (const each of clients) each.close()
  proxy.clear()
  await plugin.waitForHealth('ok')
  t.ok(await isServing())
  t.ok(plugin.program.running)
})

fixture.end()
