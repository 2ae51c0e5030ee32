// The time without Vault when the wall clock of the node is set, in the built program (docs/availability.md, "Local keys").
import { randomBytes } from 'node:crypto'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

import { FakedClock } from '../../real/faults/faked-clock.ts'
import { eventually } from '../../real/host/eventually.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import type { Plugin } from '../../real/program/plugin.ts'
import { Fixture, newSeed, outcomeOf } from '../fixture.ts'

/** What local keys can do takes no time; everything else waits for Vault. */
const PATIENCE = { timeout: 3_000 }

const fixture = await Fixture.open()

/** A plugin with a sealed file, an `offlineFor` of ten minutes and a clock that can be set. */
async function startWithClock() {
  const clock = new FakedClock()
  const network = await fixture.tcpProxy()
  const folder = tempFolder('sealed')
  const [sealedFile, nodeKeyFile] = [join(folder, 'local-keys'), join(folder, 'node-key')]
  writeFileSync(nodeKeyFile, randomBytes(32), { mode: 0o400 })
  const localKeys = { enabled: true, offlineFor: '10m', sealedFile, nodeKeyFile }
  const kms = { refreshInterval: '1s', outageGrace: '0s', localKeys }
  const plugin = await fixture.launch({ address: network.address, kms }, clock.wrap)
  await plugin.waitForSocket()
  await plugin.waitForHealth('ok')
  const seed = newSeed()
  const wrapped = await plugin.client.encrypt(seed)
  await eventually('the file', () => existsSync(sealedFile))
  await network.refuse()
  await noticeOutage(plugin)
  const works = async () => {
    const { client } = plugin
    const [{ healthz }, encrypt, decrypt] = await Promise.all([
      client.status(),
      outcomeOf(client.encrypt(seed, PATIENCE)),
      outcomeOf(client.decrypt(wrapped, PATIENCE)),
    ])
    return {
      status: healthz === 'ok',
      encrypt: encrypt.code === 'OK',
      decrypt: decrypt.code === 'OK',
    }
  }
  return { clock, network, plugin, sealedFile, works }
}

const noticeOutage = (plugin: Plugin) =>
  eventually('the plugin to notice the outage', async () =>
    /does not answer/.test((await plugin.admin('/readyz')).text),
  )

const ALL = { status: true, encrypt: true, decrypt: true }
const NONE = { status: false, encrypt: false, decrypt: false }

void test('a clock that is set forward ends the time without Vault, and setting it back does not bring it back', async (t) => {
  const { clock, network, plugin, sealedFile, works } = await startWithClock()
  clock.set('+9m')
  t.same(await works(), ALL)
  clock.set('+10m')
  const onlyDecrypts = { status: false, encrypt: false, decrypt: true }
  t.same(await works(), onlyDecrypts)
  const { healthz } = await plugin.client.status()
  t.match(healthz, /local keys no longer encrypt, because .*; they decrypt until .*:.* UTC$/)
  clock.set('+0')
  t.same(await works(), onlyDecrypts)
  clock.set('+3m')
  t.same(await works(), NONE)
  clock.set('-1d')
  t.same(await works(), NONE)
  await network.pass()
  await plugin.waitForHealth('ok', { timeoutMs: 20_000 })
  t.same(await works(), ALL)
  await eventually('the file', () => existsSync(sealedFile))
})

void test('a clock that is set back does not extend the time without Vault, nor end it', async (t) => {
  const { clock, plugin, works } = await startWithClock()
  clock.set('-10d')
  t.same(await works(), ALL)
  t.match((await plugin.admin('/readyz')).text, /^ok: local keys encrypt for \d more/)
  await plugin.kill()
  await plugin.restart()
  await noticeOutage(plugin)
  t.same(await works(), ALL, 'within one boot, the sealed file does not depend on the wall clock')
  t.match((await plugin.admin('/readyz')).text, /^ok: local keys encrypt for \d more/)
  clock.set('-9d')
  t.same(await works(), NONE, 'a day passed')
})

fixture.end()
