import { readFileSync } from 'node:fs'
import { test } from 'tap'
import { KEY } from '../../real/vault/kms-vault.ts'
import { findSecret, rememberSecret } from '../../real/program/told-secrets.ts'
import { renderPolicy, rotateKey } from '../../real/vault/transit-setup.ts'
import { linesSaying, newSeed, outcomeOf, Fixture } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

const fixture = await Fixture.open({ ttl: '5s' })
const { bao, vault } = fixture

void test('the search for secrets finds them', (t) => {
  const seed = newSeed()
  rememberSecret(seed)
  const forms = [
    seed.toString('base64'),
    seed.toString('base64url'),
    seed.toString('hex'),
    seed.toString('latin1'),
    JSON.stringify(seed),
    readFileSync(vault.tokenFile, 'utf8'),
    bao.rootToken,
    `vault:v1:${'A'.repeat(80)}`,
  ]
  for (const form of forms) t.ok(findSecret(`{"msg":"before ${form} after"}`))
  t.equal(findSecret('the ciphertext does not have the form of transit ("vault:v1:…")'), undefined)
  t.end()
})

// Plugin.stop, in every test file, looks through the whole output, what callers were told and the admin pages.
// This one does all the work there is, at level trace, and looks at each of these itself.
void test('no token, JWT, plaintext or ciphertext appears in any output', async (t) => {
  const http = await fixture.httpProxy()
  const network = await fixture.tcpProxy(http.address)
  const plugin = await fixture.startHealthy({
    address: network.address,
    kms: { refreshInterval: '1s', outageGrace: '0s', v1beta1: true },
    vault: { timeout: '500ms' },
    log: { level: 'trace' },
  })
  const { client } = plugin
  const told: string[] = []
  const tell = async (call: Promise<unknown>) => void told.push((await outcomeOf(call)).message)
  const long = Buffer.from('a plaintext in words, so that it would be seen as it is')

  const wrapped = await client.encrypt(long)
  const text = Buffer.from(wrapped.ciphertext).toString('latin1')
  rememberSecret(text.replace(/^vault:v\d+:/, ''))
  await client.decrypt(wrapped)
  await client.decryptV1(await client.encryptV1(long))

  // Wrong data, of which no answer may contain anything.
  for (const ciphertext of [long, Buffer.from(`${text}AAAA`), Buffer.from(text.slice(0, -8))]) {
    await tell(client.decrypt({ ...wrapped, ciphertext }))
    await tell(client.decryptV1(ciphertext))
  }
  await tell(client.decrypt({ ...wrapped, annotations: { 'a.example': long } }))
  await tell(client.send('/v2.KeyManagementService/Encrypt', Buffer.concat([long, long])))

  // Rotation, and another login: the lease is 5 s.
  await rotateKey(bao, KEY)
  await eventually('the rotation', async () => (await client.status()).keyId !== wrapped.keyId)
  await eventually('another login', () => linesSaying(plugin, 'logged in to Vault').length > 1)

  // Denial.
  await vault.writePolicy('path "nothing" { capabilities = ["read"] }')
  await tell(client.encrypt(long))
  await plugin.waitForHealth(/denies/)
  told.push((await plugin.admin('/readyz')).text)
  await vault.writePolicy(await renderPolicy('kms.hcl'))
  await plugin.waitForHealth('ok')

  // A server that repeats what it was sent.
  for (const [path, call] of [
    [/encrypt/, () => client.encrypt(long)],
    [/decrypt/, () => client.decrypt(wrapped)],
  ] as const) {
    for (const status of [400, 403, 500]) {
      http.repeat(status, { match: (_, asked) => path.test(asked) })
      await tell(call())
      http.clear()
    }
  }
  const body = { errors: [`no login with ${readFileSync(vault.tokenFile, 'utf8')}`] }
  http.respond({ status: 400, body }, { match: (_, asked) => /login/.test(asked) })
  await plugin.program.waitForLine(/login to Vault failed/)
  http.clear()
  http.respond({ status: 200, body: `<html>${text}</html>` })
  await tell(client.decrypt(wrapped))
  http.clear()
  await plugin.waitForHealth('ok')

  // Outages.
  const outages = {
    hang: /Vault .*did not (answer|end)/,
    refuse: /Vault at .* is unreachable: connection refused/,
    reset: /Vault at .* is unreachable: the connection was (reset|closed)/,
  }
  for (const fail of ['hang', 'refuse', 'reset'] as const) {
    await network[fail]()
    await tell(client.encrypt(long))
    await tell(client.decrypt(wrapped))
    await plugin.waitForHealth(outages[fail])
    told.push((await plugin.admin('/readyz?format=json')).text)
    await network.pass()
    await plugin.waitForHealth('ok')
  }

  const metrics = (await plugin.admin('/metrics')).text
  plugin.program.signal('SIGTERM')
  await plugin.program.ended()
  const output = plugin.program.output()
  t.match(output, /"level":"debug"/)
  t.ok(plugin.logLines().length > 40, `${String(plugin.logLines().length)} lines`)
  t.ok(told.filter((words) => words !== '').length >= 15, `${String(told.length)} texts`)
  t.equal(findSecret(output), undefined, 'in the output')
  t.equal(findSecret(metrics), undefined, 'in the metrics')
  t.equal(findSecret(told.join('\n')), undefined, 'in what callers and the admin pages were told')
})

fixture.end()
