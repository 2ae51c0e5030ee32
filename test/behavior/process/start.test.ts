import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { freePort } from '../../real/host/port.ts'
import { findSamples } from '../../real/cluster/prometheus-text.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import type { Plugin } from '../../real/program/plugin.ts'
import { newSeed, outcomeOf, Fixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

const fixture = await Fixture.open()
const { bao, vault } = fixture
const KMS = { refreshInterval: '1s' }

/** What Status reports while Vault cannot be reached, and that the other calls fail without harm. */
async function servesWithoutVault(t: Test, plugin: Plugin, told: RegExp): Promise<void> {
  const first = await plugin.client.status()
  t.match(first, { version: 'v2', keyId: '' })
  t.not(first.healthz, 'ok')
  await plugin.waitForHealth(told)
  t.match(await outcomeOf(plugin.client.encrypt(newSeed(), { timeout: 500 })), {
    code: /^(UNAVAILABLE|DEADLINE_EXCEEDED|PERMISSION_DENIED)$/,
  })
  t.match(await plugin.admin('/livez'), { status: 200 })
  t.match(await plugin.admin('/readyz'), { status: 503, text: told })
  t.ok(plugin.program.running)
}

async function works(t: Test, plugin: Plugin): Promise<void> {
  await plugin.waitForHealth('ok')
  const plaintext = newSeed()
  t.same(await plugin.client.decrypt(await plugin.client.encrypt(plaintext)), plaintext)
}

void test('started before Vault: Status at once, healthy later', async (t) => {
  const network = await fixture.tcpProxy()
  await network.refuse()
  const plugin = await fixture.start({ address: network.address, kms: KMS })
  t.match(
    await outcomeOf(plugin.client.encrypt(newSeed())),
    { code: 'UNAVAILABLE', message: /connection refused/ },
    'the first call gets the reason, although the first login has not ended',
  )
  await servesWithoutVault(t, plugin, /connection refused/)
  await network.pass()
  await works(t, plugin)
})

void test('started while Vault hangs', async (t) => {
  const network = await fixture.tcpProxy()
  await network.hang()
  const impatient = { timeout: '500ms' }
  const plugin = await fixture.start({ address: network.address, kms: KMS, vault: impatient })
  await servesWithoutVault(t, plugin, /did not (answer|end)/)
  await network.pass()
  await works(t, plugin)
})

void test('started while Vault is sealed', async (t) => {
  await bao.seal()
  const plugin = await fixture.start({ kms: KMS })
  await servesWithoutVault(t, plugin, /is sealed; until it is unsealed, it refuses/)
  await bao.unseal()
  await works(t, plugin)
})

void test('started before the token file exists, then with unusable tokens', async (t) => {
  rmSync(vault.tokenFile)
  const plugin = await fixture.start({ kms: KMS, auth: { audience: 'vault' } })
  await servesWithoutVault(t, plugin, /vault.auth.tokenFile: .* does not exist yet; the kubelet/)
  writeFileSync(vault.tokenFile, '')
  await plugin.waitForHealth(/vault.auth.tokenFile: .* is empty/)
  writeFileSync(vault.tokenFile, 'no token')
  await plugin.waitForHealth(/vault.auth.tokenFile/)
  await vault.writeToken({ expiresIn: -3600 })
  await plugin.waitForHealth(/the token expired at .* no longer refreshes it/)
  await vault.writeToken({ audience: 'somebody else' })
  await plugin.waitForHealth(
    /has audience "somebody else", but vault.auth.audience is "vault": request that audience/,
  )
  await vault.writeToken()
  await works(t, plugin)
})

void test('started before DNS answers', async (t) => {
  const plugin = await fixture.start({
    address: ['http://vault.invalid:8200'],
    kms: KMS,
    vault: { allowPlaintext: true },
  })
  await servesWithoutVault(
    t,
    plugin,
    /vault\.invalid:8200 is unreachable: (unknown host name|the host name cannot)/,
  )
  await eventually('some more logins', async () => {
    const { text } = await plugin.admin('/metrics')
    const failed = { outcome: 'VAULT_UNREACHABLE' }
    return (findSamples(text, 'transit_bridge_vault_logins_total', failed)[0]?.value ?? 0) >= 3
  })
  for (const wanted of ['error', 'warn']) {
    const linesNow = () => plugin.logLines().filter(({ level }) => level === wanted)
    await eventually(`a line of level ${wanted}`, () => linesNow().length > 0)
    const lines = linesNow()
    // A name server that is slow is another reason than one that does not know the name, and has a line of its own.
    const repeated = lines.filter(({ msg, reason }, index) => {
      const before = lines[index - 1]
      return msg === before?.['msg'] && reason === before?.['reason']
    })
    t.same(repeated, [], `${wanted}: no line repeats the one before`)
  }
})

void test('started while only one of two host names is known', async (t) => {
  const address = ['http://vault.invalid:8200', bao.address]
  const plugin = await fixture.start({ address, kms: KMS, vault: { allowPlaintext: true } })
  await works(t, plugin)
})

void test('killed with SIGKILL: starts again over its stale socket', async (t) => {
  const plugin = await fixture.startHealthy({ kms: KMS })
  const kept = await plugin.client.encrypt(newSeed())
  await plugin.kill()
  t.ok(statSync(plugin.socket).isSocket(), 'the socket file is still there')
  await plugin.restart()
  await plugin.waitForHealth('ok')
  t.equal((await plugin.client.status()).keyId, kept.keyId)
  t.match(await outcomeOf(plugin.client.decrypt(kept)), { code: 'OK' })
  t.equal(await plugin.stop(), 0)
  t.notOk(existsSync(plugin.socket))
})

void test('a live socket is not touched: error, exit 1', async (t) => {
  const first = await fixture.startHealthy({ kms: KMS })
  const second = await fixture.launch({ kms: { ...KMS, socket: first.socket } })
  t.equal((await second.program.ended()).code, 1)
  t.match(second.program.output(), /transit-bridge: another process serves .*kms.sock/)
  t.match(await first.client.status(), { healthz: 'ok' })
  t.equal((await first.client.encrypt(newSeed())).keyId, (await first.client.status()).keyId)
})

void test('a file or a folder in place of the socket is not touched: error, exit 1', async (t) => {
  const folder = tempFolder('blocked')
  const file = join(folder, 'file')
  writeFileSync(file, 'precious')
  const inner = join(folder, 'folder')
  mkdirSync(inner)
  for (const socket of [file, inner]) {
    const plugin = await fixture.launch({ kms: { ...KMS, socket } })
    t.equal((await plugin.program.ended()).code, 1)
    t.match(plugin.program.output(), /transit-bridge: .* exists and is not a socket/)
  }
  t.equal(readFileSync(file, 'utf8'), 'precious')
  t.ok(statSync(inner).isDirectory())
})

void test('the socket has the mode of the configuration, 0600 by default', async (t) => {
  const modeOf = ({ socket }: Plugin) => statSync(socket).mode & 0o777
  t.equal(modeOf(await fixture.startHealthy({ kms: KMS })), 0o600)
  t.equal(modeOf(await fixture.startHealthy({ kms: { ...KMS, socketMode: '0660' } })), 0o660)
})

void test('the admin port is taken: KMS is served anyway', async (t) => {
  const port = await freePort()
  const taken = createServer().listen(port, '127.0.0.1')
  await once(taken, 'listening')
  const plugin = await fixture.start({ kms: KMS, admin: { listen: `127.0.0.1:${String(port)}` } })
  await works(t, plugin)
  await plugin.program.waitForLine(/admin.listen: cannot listen on .*EADDRINUSE/)
  taken.close()
})

fixture.end()
