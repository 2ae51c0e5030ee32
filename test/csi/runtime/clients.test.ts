import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import nodeVault from 'node-vault'
import t from 'tap'
import { startForwarder } from '../../../src/csi/runtime/forwarder.ts'
import { obtain } from '../../real/host/parts.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { runToEnd } from '../../real/program/run-to-end.ts'
import { PodVault, ROLE } from '../pod-vault.ts'
import { RUNTIME_POLICY, startRuntime } from './fixture.ts'
import { recordRequests } from './recorded-requests.ts'

// Clients that need no build; `npm run test:clients` runs the others. See docs/runtime-clients.md.

const vault = await PodVault.start()
t.teardown(() => vault.stop())
await vault.enableRole(ROLE, RUNTIME_POLICY)
await vault.makeKey('data')
await vault.makeKey('signing', 'ecdsa-p256')
const runtime = await startRuntime(vault)
t.teardown(() => runtime.stop())
const socket = await runtime.kubelet.publish()
const recorder = await recordRequests(socket.path)
t.teardown(() => recorder.stop())
const forwarder = await startForwarder({
  socket: recorder.path,
  listen: { host: '127.0.0.1', port: 0 },
  onFailure: () => undefined,
})
t.teardown(() => forwarder.stop())
const url = `http://127.0.0.1:${String(forwarder.port)}`
const home = tempFolder('home')
const plaintext = Buffer.from('a value').toString('base64')

/** Fields of HashiCorp Vault that OpenBao does not have (vault api/sys_health.go, sys_seal.go, sys_leader.go). */
const ONLY_OF_HASHICORP = new Set([
  '.performance_standby',
  '.performance_standby_last_remote_wal',
  '.build_date',
])

const lines = () => recorder.take().map(({ line }) => line)

void t.test('the bao command', async (t) => {
  const bao = await obtain('bao')
  const run = async (...args: string[]) => {
    const env = {
      BAO_ADDR: `unix://${recorder.path}`,
      VAULT_ADDR: `unix://${recorder.path}`,
      HOME: home,
    }
    const outcome = await runToEnd(bao, args, { cwd: home, env })
    t.equal(outcome.code, 0, `bao ${args.join(' ')}: ${outcome.stderr}`)
    return outcome.stdout.trim()
  }
  const ciphertext = await run(
    'write',
    '-field=ciphertext',
    'transit/encrypt/data',
    `plaintext=${plaintext}`,
  )
  t.match(ciphertext, /^vault:v1:/)
  t.equal(
    await run('write', '-field=plaintext', 'transit/decrypt/data', `ciphertext=${ciphertext}`),
    plaintext,
  )
  t.match(await run('write', '-f', 'transit/datakey/wrapped/data'), /ciphertext/)
  t.equal(await run('read', '-field=type', 'transit/keys/signing'), 'ecdsa-p256')
  t.same(JSON.parse(await run('list', '-format=json', 'transit/keys')), ['data', 'signing'])
  t.match(await run('status'), /Sealed +false/)
  t.match(await run('token', 'lookup'), /renewable +true/)
  t.match(await run('token', 'renew'), /token_duration +1h/)
  t.same(lines(), [
    'PUT /v1/transit/encrypt/data',
    'PUT /v1/transit/decrypt/data',
    'PUT /v1/transit/datakey/wrapped/data',
    'GET /v1/transit/keys/signing',
    'GET /v1/transit/keys?list=true',
    'GET /v1/sys/seal-status',
    'GET /v1/sys/leader',
    'GET /v1/auth/token/lookup-self',
    'PUT /v1/auth/token/renew-self',
  ])
})

void t.test('curl', async (t) => {
  const run = async (...args: string[]) => {
    const { code, stdout, stderr } = await runToEnd('curl', [
      '--no-progress-meter',
      '--unix-socket',
      recorder.path,
      ...args,
    ])
    t.equal(code, 0, stderr)
    return JSON.parse(stdout) as { data: Record<string, unknown> }
  }
  const encrypted = await run(
    '--data',
    JSON.stringify({ plaintext }),
    'http://localhost/v1/transit/encrypt/data',
  )
  t.match(encrypted.data['ciphertext'], /^vault:v1:/)
  const listed = await run('--request', 'LIST', 'http://localhost/v1/transit/keys')
  t.same(listed.data['keys'], ['data', 'signing'])
  // curl waits for "100 Continue" before a body of more than 1 MiB.
  const file = join(home, 'large.json')
  writeFileSync(file, JSON.stringify({ plaintext: randomBytes(1024 * 1024).toString('base64') }))
  const large = await run('--data', `@${file}`, 'http://localhost/v1/transit/encrypt/data')
  t.match(large.data['ciphertext'], /^vault:v1:/)
  const requests = recorder.take()
  t.same(
    requests.map(({ line }) => line),
    ['POST /v1/transit/encrypt/data', 'LIST /v1/transit/keys', 'POST /v1/transit/encrypt/data'],
  )
  t.equal(requests[0]?.headers['content-type'], 'application/x-www-form-urlencoded')
  t.equal(requests[2]?.headers['expect'], '100-continue')
})

void t.test('node-vault, through the forwarder', async (t) => {
  const client = nodeVault({ endpoint: url, token: 'ignored' })
  const health = (await client.health()) as { sealed: boolean }
  t.equal(health.sealed, false)
  const encrypted = (await client.write('transit/encrypt/data', { plaintext })) as {
    data: { ciphertext: string }
  }
  const decrypted = (await client.write('transit/decrypt/data', {
    ciphertext: encrypted.data.ciphertext,
  })) as { data: { plaintext: string } }
  t.equal(decrypted.data.plaintext, plaintext)
  const listed = (await client.list('transit/keys')) as { data: { keys: string[] } }
  t.same(listed.data.keys, ['data', 'signing'])
  const read = (await client.read('transit/keys/signing')) as { data: { type: string } }
  t.equal(read.data.type, 'ecdsa-p256')
  await t.rejects(client.read('secret/data/x'), /permission denied/)
  t.same(lines(), [
    'GET /v1/sys/health',
    'POST /v1/transit/encrypt/data',
    'POST /v1/transit/decrypt/data',
    'LIST /v1/transit/keys',
    'GET /v1/transit/keys/signing',
    'GET /v1/secret/data/x',
  ])
})

void t.test('what is answered without Vault has the fields and types of Vault', async (t) => {
  const { auth } = (await vault.bao.api('POST', 'auth/token/create', {
    period: '1h',
    meta: { namespace: 'shop' },
  })) as {
    auth: { client_token: string }
  }
  const requests: readonly (readonly ['GET' | 'PUT', string])[] = [
    ['GET', 'sys/health'],
    ['GET', 'sys/seal-status'],
    ['GET', 'sys/leader'],
    ['GET', 'auth/token/lookup-self'],
    ['PUT', 'auth/token/renew-self'],
    ['GET', 'sys/internal/ui/mounts/transit/keys/data'],
  ]
  for (const [method, path] of requests) {
    const own = await socket.ask(path, { method })
    const real = await vault.bao.request(method, path, undefined, { token: auth.client_token })
    t.equal(own.status, real.status, path)
    const types = fieldTypes(real.body)
    const others = [...fieldTypes(own.json)].filter(
      ([field, type]) =>
        type !== 'null' && types.get(field) !== type && !ONLY_OF_HASHICORP.has(field),
    )
    t.same(others, [], `${path}: fields that Vault does not have, or that have another type`)
  }
})

/** The types of the fields of an object, by path. The metadata of a token and the options of a mount are maps. */
function fieldTypes(value: unknown, path = ''): Map<string, string> {
  const type = value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value
  const isMap = /\.(meta|options)$/.test(path)
  if (type !== 'object' || isMap) return new Map([[path, type]])
  const fields = Object.entries(value as object)
  return new Map(fields.flatMap(([name, field]) => [...fieldTypes(field, `${path}.${name}`)]))
}

void t.test('callers of sys/health choose the status, as the Go client does', async (t) => {
  const codes = 'sealedcode=299&standbycode=299&uninitcode=299'
  t.equal((await socket.ask(`sys/health?${codes}`)).status, 200)
  t.equal((await socket.ask(`sys/health?activecode=204&${codes}`)).status, 204)
  t.equal((await socket.ask('sys/health?activecode=99')).status, 400)
  t.equal((await socket.ask('sys/health?activecode=many')).status, 400)
})

void t.test(
  'other queries are refused, because Vault could treat them as another request',
  async (t) => {
    const mark = vault.bao.auditMark()
    for (const target of [
      'transit/keys?list=true&after=data',
      'transit/keys/data?version=1',
      'sys/seal-status?list=true',
      'sys/health?path=%2e%2e',
    ]) {
      const answer = await socket.ask(target)
      t.ok(answer.status >= 400 && answer.status < 500, `${target}: ${String(answer.status)}`)
      t.equal(answer.json.errors?.length, 1, target)
    }
    t.same(vault.bao.auditRequests({ since: mark }), [])
  },
)
