import { test } from 'tap'
import { KEY } from '../../real/vault/kms-vault.ts'
import { configKey, rotateKey } from '../../real/vault/transit-setup.ts'
import { linesSaying, newSeed, outcomeOf, Fixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

const fixture = await Fixture.open()
const { bao } = fixture

void test('Vault restored from a backup of an older key: Encrypt works again after the next refresh, and the log says why', async (t) => {
  const plugin = await fixture.startHealthy({ kms: { refreshInterval: '1s' } })
  const { client } = plugin
  const plaintext = newSeed()
  const older = await client.encrypt(plaintext)
  await configKey(bao, KEY, { exportable: true, allow_plaintext_backup: true })
  const backup = String((await bao.api('GET', `transit/backup/${KEY}`)).data.backup)

  await rotateKey(bao, KEY)
  await eventually('the rotation', async () => (await client.status()).keyId !== older.keyId)
  const lost = await client.encrypt(newSeed())

  await bao.api('POST', `transit/restore/${KEY}`, { backup, force: true })
  const restoredAt = performance.now()
  await eventually('Encrypt', async () => (await client.encrypt(newSeed())).keyId === older.keyId, {
    timeoutMs: 60_000,
  })
  t.comment(`Encrypt worked again after ${String(Math.round(performance.now() - restoredAt))} ms`)

  t.match(await client.status(), { healthz: 'ok', keyId: older.keyId })
  t.same(await client.decrypt(older), plaintext)
  t.match(await outcomeOf(client.decrypt(lost)), {
    code: 'FAILED_PRECONDITION',
    message:
      /version 2 of transit key k8s-etcd, but version 1 is the latest .* restore a newer one/,
  })
  t.match(linesSaying(plugin, 'Vault shows version 1'), [{ level: 'warn', key_version: 1 }])
  t.match(linesSaying(plugin, 'Vault lost versions of the key'), [{ level: 'warn' }])
  await plugin.stop()
})

fixture.end()
