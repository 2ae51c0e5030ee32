import { test } from 'tap'
import type { WrappedSeed } from '../../real/program/kms-client.ts'
import { KEY } from '../../real/vault/kms-vault.ts'
import type { Plugin } from '../../real/program/plugin.ts'
import { configKey, deleteKey, makeKey, rotateKey } from '../../real/vault/transit-setup.ts'
import { newSeed, outcomeOf, Fixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

const fixture = await Fixture.open()
const { bao } = fixture
const plugin = await fixture.startHealthy({ kms: { refreshInterval: '1s' } })

type Kept = { plaintext: Buffer; wrapped: WrappedSeed }

async function keep(by: Plugin = plugin): Promise<Kept> {
  const plaintext = newSeed()
  return { plaintext, wrapped: await by.client.encrypt(plaintext) }
}

async function keyIdOf(by: Plugin = plugin): Promise<string> {
  return (await by.client.status()).keyId
}

/** Rotates the key and waits until the plugin announces it. */
async function rotate(): Promise<string> {
  const before = await keyIdOf()
  await rotateKey(bao, KEY)
  await eventually('another key id', async () => (await keyIdOf()) !== before)
  return keyIdOf()
}

/** The Transit key version that a ciphertext names. */
function versionOf({ ciphertext }: WrappedSeed): number {
  return Number(/^vault:v(\d+):/.exec(Buffer.from(ciphertext).toString('latin1'))?.[1])
}

void test('a rotation is announced by the next refresh', async (t) => {
  const slower = await fixture.startHealthy({ kms: { refreshInterval: '3s', clusterId: 'slower' } })
  const before = await keyIdOf(slower)
  await rotateKey(bao, KEY)
  await eventually('another key id', async () => (await keyIdOf(slower)) !== before)
  t.match(await slower.client.status(), { healthz: 'ok' })
  await slower.stop()
})

void test('during rotations an API server sees one key id for each version, and old data stays readable', async (t) => {
  const rotations = 3
  const versions = new Map<string, Set<number>>()
  const kept: Kept[] = []
  const state = { seenKeyId: '', done: false }
  const disagreements = { apiServer: 0, writer: 0 }

  const keeps = (keyId: string) => kept.some(({ wrapped }) => wrapped.keyId === keyId)
  const note = ({ keyId }: { keyId: string }, version: number) =>
    versions.set(keyId, (versions.get(keyId) ?? new Set()).add(version))
  /** As kube-apiserver does: an Encrypt whenever Status names another key id, discarded if it has a different one. */
  const apiServer = async () => {
    while (!state.done) {
      const { keyId, healthz } = await plugin.client.status()
      if (healthz !== 'ok') throw new Error(`healthz is "${healthz}"`)
      if (keyId === state.seenKeyId) continue
      const seed = await keep()
      note(seed.wrapped, versionOf(seed.wrapped))
      if (seed.wrapped.keyId === keyId) state.seenKeyId = keyId
      else disagreements.apiServer += 1
    }
  }
  const writer = async () => {
    while (!state.done) {
      const before = await keyIdOf()
      const seed = await keep()
      note(seed.wrapped, versionOf(seed.wrapped))
      if (seed.wrapped.keyId !== before) disagreements.writer += 1
      if (kept.length < 500 || !keeps(seed.wrapped.keyId)) kept.push(seed)
    }
  }
  const reader = async () => {
    while (!state.done) {
      const seed = kept[Math.floor(Math.random() * kept.length)] ?? (await keep())
      const answer = await plugin.client.decrypt(seed.wrapped)
      if (!answer.equals(seed.plaintext)) throw new Error('another plaintext than was encrypted')
    }
  }
  const driver = async () => {
    for (let count = 0; count <= rotations; count += 1) {
      const keyId = count === 0 ? await keyIdOf() : await rotate()
      await eventually('the API server to follow', () => state.seenKeyId === keyId)
      await eventually('data of this version', () => keeps(keyId))
    }
  }
  const all = [apiServer(), writer(), reader()]
  await Promise.race([driver(), ...all]).finally(() => (state.done = true))
  await Promise.all(all)

  for (const [stream, count] of Object.entries(disagreements)) {
    t.ok(count <= rotations, `${String(count)} answers to the ${stream} disagree with Status`)
  }
  t.equal(versions.size, rotations + 1)
  for (const [keyId, of] of versions) t.equal(of.size, 1, `${keyId} stands for one version`)
  t.same(
    new Set(kept.map(({ wrapped }) => wrapped.keyId)),
    new Set(versions.keys()),
    'data of each version',
  )
  const answers = await Promise.all(kept.map(({ wrapped }) => plugin.client.decrypt(wrapped)))
  t.same(
    answers,
    kept.map(({ plaintext }) => plaintext),
  )
})

void test('what one plugin encrypts right after a rotation, another one decrypts at once', async (t) => {
  const other = await fixture.startHealthy({ kms: { refreshInterval: '5m' } })
  const keyId = await rotate()
  const { plaintext, wrapped } = await keep()
  t.equal(wrapped.keyId, keyId)
  t.not(await keyIdOf(other), keyId, 'the other one has not read the key since')
  t.same(await other.client.decrypt(wrapped), plaintext)
  t.equal(await keyIdOf(other), keyId, 'and noticed the rotation by it')
  await other.stop()
})

void test('min_encryption_version above the announced version: Encrypt uses the new version in the same call', async (t) => {
  const late = await fixture.startHealthy({ kms: { refreshInterval: '5m' } })
  const before = await keyIdOf(late)
  const old = await keep(late)
  await rotateKey(bao, KEY)
  await configKey(bao, KEY, { min_encryption_version: versionOf(old.wrapped) + 1 })
  const fresh = await keep(late)
  t.equal(versionOf(fresh.wrapped), versionOf(old.wrapped) + 1)
  t.not(fresh.wrapped.keyId, before)
  t.match(await late.client.status(), { healthz: 'ok', keyId: fresh.wrapped.keyId })
  t.same(await late.client.decrypt(old.wrapped), old.plaintext, 'old data stays readable')
  await configKey(bao, KEY, { min_encryption_version: 0 })
  t.equal((await keep(late)).wrapped.keyId, fresh.wrapped.keyId, 'lowered: nothing changes')
  await late.stop()
})

void test('min_decryption_version raised: old data is refused with the reason, and readable after it is lowered', async (t) => {
  const late = await fixture.startHealthy({ kms: { refreshInterval: '5m' } })
  const old = await keep(late)
  await rotate()
  const now = await keep()
  await configKey(bao, KEY, { min_decryption_version: versionOf(now.wrapped) })
  const refused = { code: 'FAILED_PRECONDITION', message: /min_decryption_version .*lower it/ }
  t.match(await outcomeOf(late.client.decrypt(old.wrapped)), refused, 'by Vault')
  await eventually('the plugin to know', async () =>
    /min_decryption_version \d+ disables/.test(
      (await outcomeOf(plugin.client.decrypt(old.wrapped))).message,
    ),
  )
  const since = bao.auditMark()
  t.match(await outcomeOf(plugin.client.decrypt(old.wrapped)), refused, 'before Vault is asked')
  t.equal(fixture.asked(since, /decrypt/).length, 0)
  t.same(await plugin.client.decrypt(now.wrapped), now.plaintext, 'other data stays readable')
  t.match(await plugin.client.status(), { healthz: 'ok' })
  await configKey(bao, KEY, { min_decryption_version: 1 })
  await eventually('old data', async () =>
    old.plaintext.equals(await plugin.client.decrypt(old.wrapped)),
  )
  t.same(await late.client.decrypt(old.wrapped), old.plaintext)
  await late.stop()
})

void test('a key that was deleted and created again has a new key id, and its old data is refused with the reason', async (t) => {
  const old = await keep()
  await deleteKey(bao, KEY)
  await plugin.waitForHealth(/k8s-etcd/)
  t.equal((await plugin.client.status()).keyId, old.wrapped.keyId, 'Status keeps the last key id')
  // Creation times are whole seconds: within one second the new version 1 has the key id of the old one.
  const second = Math.floor(Date.now() / 1000)
  await eventually('the next second', () => Math.floor(Date.now() / 1000) > second)
  await makeKey(bao, KEY)
  await plugin.waitForHealth('ok')
  const fresh = await keep()
  t.equal(versionOf(fresh.wrapped), 1)
  t.not(fresh.wrapped.keyId, old.wrapped.keyId)
  t.same(await plugin.client.decrypt(fresh.wrapped), fresh.plaintext)
  t.match(await outcomeOf(plugin.client.decrypt(old.wrapped)), {
    code: 'FAILED_PRECONDITION',
    message: /encrypted with version \d+ .* restored from a backup|matches no version/,
  })
})

void test('a key that was replaced between two reads is found by the first Decrypt that Vault cannot authenticate', async (t) => {
  const rare = await fixture.startHealthy({ kms: { refreshInterval: '5m', clusterId: 'rare' } })
  const old = await keep(rare)
  const second = Math.floor(Date.now() / 1000)
  await deleteKey(bao, KEY)
  await eventually('the next second', () => Math.floor(Date.now() / 1000) > second)
  await makeKey(bao, KEY)
  await eventually('the reason', async () => {
    const { code, message } = await outcomeOf(rare.client.decrypt(old.wrapped))
    if (code !== 'FAILED_PRECONDITION') throw new Error(`${code}: ${message}`)
    return /a key of that name that was deleted/.test(message)
  })
  const fresh = await keep(rare)
  t.not(fresh.wrapped.keyId, old.wrapped.keyId, 'nothing more is encrypted under the old key id')
  t.same(await rare.client.decrypt(fresh.wrapped), fresh.plaintext)
  await rare.stop()
})

void test('the log and the metrics report the rotations', async (t) => {
  const changes = plugin
    .logLines()
    .filter(({ msg }) => /the key changed in Vault/.test(String(msg)))
  t.ok(changes.length >= 6)
  t.ok(changes.every(({ level }) => level === 'info'))
  const { text } = await plugin.admin('/metrics')
  t.match(text, new RegExp(`transit_bridge_key_rotations_seen_total ${String(changes.length)}`))
  t.match(text, /transit_bridge_key_version 1$/m)
})

fixture.end()
