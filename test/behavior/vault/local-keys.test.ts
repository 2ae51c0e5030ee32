import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

import { KEY, ROLE } from '../../real/vault/kms-vault.ts'
import {
  configKey,
  deleteKey,
  makeKey,
  renderPolicy,
  rotateKey,
} from '../../real/vault/transit-setup.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { eventually } from '../../real/host/eventually.ts'
import type { Plugin } from '../../real/program/plugin.ts'
import { Fixture, newSeed, outcomeOf, type Settings } from '../fixture.ts'

const fixture = await Fixture.open()
const { bao, vault } = fixture
const KMS = { refreshInterval: '1s', localKeys: { enabled: true } }
const LOCAL_KEY = 'local-key.transit-bridge.internal'

type Wrapped = Awaited<ReturnType<Plugin['client']['encrypt']>>

const versionOf = ({ annotations }: Wrapped) =>
  /^vault:v(\d+):/.exec(Buffer.from(annotations[LOCAL_KEY] ?? []).toString())?.[1]

void test('Encrypt and Decrypt of many seeds cost no request, except one for each local key of another node', async (t) => {
  const [one, other] = await Promise.all([
    fixture.startHealthy({ kms: { ...KMS, refreshInterval: '5m' } }),
    fixture.startHealthy({ kms: { ...KMS, refreshInterval: '5m' } }),
  ])
  const seeds = Array.from({ length: 100 }, newSeed)
  const mark = bao.auditMark()
  const wrapped = await Promise.all(seeds.map((seed) => one.client.encrypt(seed)))
  const read = async (plugin: Plugin) => {
    const found = await Promise.all(wrapped.map((each) => plugin.client.decrypt(each)))
    t.same(found, seeds)
  }
  await read(one)
  t.same(fixture.asked(mark, /transit/), [])
  await read(other)
  await read(other)
  t.equal(fixture.asked(mark, /decrypt/).length, 1)
  t.equal(fixture.asked(mark, /encrypt/).length, 0)
})

void test('local keys can be enabled and disabled without a rewrite', async (t) => {
  const off = await fixture.startHealthy()
  const [before, during] = [newSeed(), newSeed()]
  const direct = await off.client.encrypt(before)
  t.equal(versionOf(direct), undefined)
  off.configure(fixture.configuration({ kms: KMS }))
  await off.kill()
  await off.restart()
  await off.waitForHealth('ok')
  const local = await off.client.encrypt(during)
  t.equal(versionOf(local), '1')
  t.same(await off.client.decrypt(direct), before)
  off.configure(fixture.configuration({}))
  await off.kill()
  await off.restart()
  await off.waitForHealth('ok')
  t.same(await off.client.decrypt(local), during)
  t.equal(versionOf(await off.client.encrypt(newSeed())), undefined)
})

/** The plugin's policy, for any key. */
const policy = (await renderPolicy('kms.hcl')).replaceAll(KEY, '+')

interface Change {
  readonly what: string
  /** Which key, because changes of it cannot be undone. */
  readonly key: string
  readonly kms?: Record<string, unknown>
  readonly auth?: Settings['auth']
  readonly begin: (key: string) => Promise<unknown>
  /** What Status reports after Vault was asked. */
  readonly told: string | RegExp
  /** The codes of an Encrypt, and of a Decrypt of what was encrypted before. */
  readonly encrypt: string
  readonly decrypt: string
  readonly end?: () => Promise<unknown>
}

/** docs/availability.md, "Local keys", has the same rows. */
const CHANGES: readonly Change[] = [
  {
    what: 'the key is rotated',
    key: 'rotated',
    begin: (key) => rotateKey(bao, key),
    told: 'ok',
    encrypt: 'OK',
    decrypt: 'OK',
  },
  {
    what: 'the key version of old data is disabled',
    key: 'raised',
    begin: async (key) => {
      await rotateKey(bao, key)
      await configKey(bao, key, { min_decryption_version: 2 })
    },
    told: 'ok',
    encrypt: 'OK',
    decrypt: 'FAILED_PRECONDITION',
  },
  {
    what: 'the key is deleted',
    key: 'deleted',
    begin: (key) => deleteKey(bao, key),
    told: /has no transit key/,
    // Vault takes it for the creation of a key.
    encrypt: 'PERMISSION_DENIED',
    decrypt: 'FAILED_PRECONDITION',
  },
  {
    what: 'the key is deleted and made again',
    key: 'made-again',
    begin: async (key) => {
      await deleteKey(bao, key)
      await makeKey(bao, key)
    },
    told: 'ok',
    encrypt: 'OK',
    decrypt: 'FAILED_PRECONDITION',
  },
  {
    what: 'the policy is removed',
    key: KEY,
    begin: () => bao.api('DELETE', 'sys/policies/acl/transit-bridge-kms'),
    told: /denies/,
    encrypt: 'PERMISSION_DENIED',
    decrypt: 'PERMISSION_DENIED',
    end: () => vault.writePolicy(policy),
  },
  {
    what: 'the role is removed, and its Vault token ends',
    key: KEY,
    begin: async () => {
      await bao.api('DELETE', `auth/jwt/role/${ROLE}`)
      await fixture.revokeTokens()
    },
    told: /login at auth\/jwt .* was refused/,
    encrypt: 'PERMISSION_DENIED',
    decrypt: 'PERMISSION_DENIED',
    end: () => vault.enableLogin(),
  },
]

/** When a change happens: a plugin that restarts has its local keys from the sealed file. */
const SITUATIONS = ['online', 'offline', 'restart'] as const

/** The path of the node key begins with that of the sealed file's folder, which Node.js then denies (grpc/unix-socket.ts). */
function makeSealedFile() {
  const folder = join(tempFolder('sealed'), 'state')
  for (const each of [folder, `${folder}-key`]) mkdirSync(each)
  const nodeKeyFile = join(`${folder}-key`, 'node-key')
  writeFileSync(nodeKeyFile, randomBytes(32), { mode: 0o400 })
  return { sealedFile: join(folder, 'local-keys'), nodeKeyFile }
}

/** The keys of the changes. */
async function makeKeys(): Promise<void> {
  const names = new Set(CHANGES.map(({ key }) => key).filter((key) => key !== KEY))
  for (const suffix of SITUATIONS) for (const name of names) await makeKey(bao, `${name}-${suffix}`)
  await vault.writePolicy(policy)
}

await makeKeys()

for (const change of CHANGES) {
  const { what, begin, told, end } = change
  const codes = { encrypt: change.encrypt, decrypt: change.decrypt }
  for (const suffix of SITUATIONS) {
    const when = {
      online: 'Vault is reachable',
      offline: 'Vault is unavailable',
      restart: 'Vault is unavailable and the plugin restarts from its sealed file',
    }[suffix]
    void test(`${what} while ${when}`, async (t) => {
      const key = change.key === KEY ? KEY : `${change.key}-${suffix}`
      const network = await fixture.tcpProxy()
      const files = makeSealedFile()
      const plugin = await fixture.startHealthy({
        address: network.address,
        transit: { key },
        kms: suffix === 'restart' ? { ...KMS, localKeys: { ...KMS.localKeys, ...files } } : KMS,
      })
      const { client } = plugin
      const seed = newSeed()
      const old = await client.encrypt(seed)
      const before = await client.status()
      if (suffix === 'restart') await eventually('the file', () => existsSync(files.sealedFile))
      if (suffix !== 'online') {
        await network.refuse()
        await begin(key)
        if (suffix === 'restart') {
          await plugin.kill()
          await plugin.restart()
        }
        await eventually('the plugin to notice the outage', async () =>
          /does not answer/.test((await plugin.admin('/readyz')).text),
        )
        t.same(await client.status(), before, 'nothing of it shows during the outage')
        t.same(await client.decrypt(old), seed)
        t.same(await client.decrypt(await client.encrypt(seed)), seed)
        await network.pass()
      } else await begin(key)
      await eventually(`what follows: ${JSON.stringify(codes)}`, async () => {
        const { healthz, keyId } = await client.status()
        const isNew = keyId !== before.keyId
        const saysSo = typeof told === 'string' ? healthz === told && isNew : told.test(healthz)
        const found = {
          encrypt: (await outcomeOf(client.encrypt(newSeed()))).code,
          decrypt: (await outcomeOf(client.decrypt(old))).code,
        }
        if (saysSo && found.encrypt === codes.encrypt && found.decrypt === codes.decrypt)
          return true
        throw new Error(JSON.stringify({ healthz, ...found }))
      })
      if (suffix === 'restart' && codes.encrypt !== 'OK')
        await eventually('the removal of the file', () => !existsSync(files.sealedFile))
      if (codes.encrypt === 'OK') {
        const fresh = await client.encrypt(seed)
        t.not(fresh.keyId, old.keyId)
        t.same(await client.decrypt(fresh), seed)
      }
      await end?.()
      if (end === undefined) return
      await plugin.waitForHealth('ok')
      t.same(await client.decrypt(old), seed, 'and after the repair')
    })
  }
}

void test('in an outage, Status is ok past kms.outageGrace; a start without Vault is not', async (t) => {
  const network = await fixture.tcpProxy()
  const plugin = await fixture.startHealthy({
    address: network.address,
    kms: { ...KMS, outageGrace: '0s' },
  })
  const seed = newSeed()
  const wrapped = await plugin.client.encrypt(seed)
  await network.refuse()
  await eventually('the plugin to notice the outage', async () =>
    /does not answer/.test((await plugin.admin('/readyz')).text),
  )
  t.match(await plugin.client.status(), { healthz: 'ok' })
  t.match(await plugin.admin('/readyz'), {
    status: 200,
    text: /^ok: local keys encrypt for 2\d\d more/,
  })
  t.match(
    (await plugin.admin('/metrics')).text,
    /^transit_bridge_offline_until_timestamp_seconds \d/m,
  )
  t.same(await plugin.client.decrypt(wrapped), seed)
  await plugin.kill()
  await plugin.restart()
  await plugin.waitForHealth(/refused/)
  t.match(await outcomeOf(plugin.client.decrypt(wrapped)), { code: 'UNAVAILABLE' })
  await network.pass()
  await plugin.waitForHealth('ok', { timeoutMs: 20_000 })
  t.same(await plugin.client.decrypt(wrapped), seed)
})

void test('what a plugin encrypts during an outage, those of other nodes decrypt', async (t) => {
  const network = await fixture.tcpProxy()
  const start = (localKeys: object) =>
    fixture.startHealthy({ address: network.address, kms: { ...KMS, localKeys } })
  const [one, other] = await Promise.all([
    start({ enabled: true, maxUses: 1 }),
    start({ enabled: true }),
  ])
  const seed = newSeed()
  const keyOf = ({ annotations }: Wrapped) => Buffer.from(annotations[LOCAL_KEY] ?? []).toString()
  const stored = await one.client.encrypt(seed)
  t.same(await other.client.decrypt(stored), seed)
  let newest = stored
  await eventually('a local key that the other plugin does not know', async () => {
    newest = await one.client.encrypt(seed)
    return keyOf(newest) !== keyOf(stored)
  })
  await network.refuse()
  for (const plugin of [one, other])
    await eventually('the plugin to notice the outage', async () =>
      /does not answer/.test((await plugin.admin('/readyz')).text),
    )
  t.match((await outcomeOf(other.client.decrypt(newest))).code, /^(UNAVAILABLE|DEADLINE_EXCEEDED)$/)
  for (const plugin of [one, other]) {
    const written = await plugin.client.encrypt(seed)
    t.equal(keyOf(written), keyOf(stored))
    for (const reader of [one, other]) t.same(await reader.client.decrypt(written), seed)
  }
  await network.pass()
})

void test('with a sealed file, the plugin starts without Vault after it was killed, and recovers', async (t) => {
  const folder = tempFolder('sealed')
  const [sealedFile, nodeKeyFile] = [join(folder, 'local-keys'), join(folder, 'node-key')]
  const nodeKey = randomBytes(32)
  writeFileSync(nodeKeyFile, nodeKey, { mode: 0o400 })
  const network = await fixture.tcpProxy()
  const plugin = await fixture.startHealthy({
    address: network.address,
    kms: { refreshInterval: '1s', localKeys: { enabled: true, sealedFile, nodeKeyFile } },
  })
  const seed = newSeed()
  const wrapped = await plugin.client.encrypt(seed)
  const { keyId } = await plugin.client.status()
  await eventually('the file', () => existsSync(sealedFile))
  await eventually('the metric', async () =>
    /^transit_bridge_sealed_file_timestamp_seconds \d/m.test((await plugin.admin('/metrics')).text),
  )
  await network.refuse()
  for (let start = 0; start < 3; start += 1) {
    await plugin.kill()
    await plugin.restart()
    t.match(await plugin.client.status(), { healthz: 'ok', keyId })
    t.same(await plugin.client.decrypt(wrapped), seed)
    t.same(await plugin.client.decrypt(await plugin.client.encrypt(seed)), seed)
  }
  t.notOk(readFileSync(sealedFile).includes(nodeKey))
  t.notOk(plugin.program.output().includes(nodeKey.toString('base64')))
  await network.pass()
  await eventually('the end of the outage', async () =>
    /^ok\s*$/.test((await plugin.admin('/readyz')).text),
  )
  t.same(await plugin.client.decrypt(wrapped), seed)
  await bao.api('DELETE', 'sys/policies/acl/transit-bridge-kms')
  await eventually('the refusal', () => !existsSync(sealedFile))
  await plugin.kill()
  await network.refuse()
  await plugin.restart()
  await plugin.waitForHealth(/refused/)
  t.match(
    await outcomeOf(plugin.client.decrypt(wrapped)),
    { code: 'UNAVAILABLE' },
    'nothing is left',
  )
  await vault.writePolicy(policy)
  await network.pass()
  await plugin.waitForHealth('ok', { timeoutMs: 20_000 })
  t.same(await plugin.client.decrypt(wrapped), seed)
})

fixture.end()
