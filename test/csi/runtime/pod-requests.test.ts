import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, end, test, type Test } from 'tap'
import { PodVault, newPod, ROLE } from '../pod-vault.ts'
import { RUNTIME_POLICY, startRuntime, type Asked } from './fixture.ts'

const vault = await PodVault.start()
after(() => vault.stop())
await vault.enableRole(ROLE, RUNTIME_POLICY)
await vault.makeKey('data')
await vault.makeKey('signing', 'ecdsa-p256')
const runtime = await startRuntime(vault)
after(() => runtime.stop())
const pod = newPod()
const socket = await runtime.kubelet.publish(pod)

void test('a pod encrypts and decrypts without a token', async (t) => {
  const plaintext = Buffer.from('a value').toString('base64')
  const encrypted = await socket.ask('transit/encrypt/data', { body: { plaintext } })
  t.equal(encrypted.status, 200, encrypted.text)
  const { ciphertext } = encrypted.json.data
  t.match(ciphertext, /^vault:v1:/)
  const decrypted = await socket.ask('transit/decrypt/data', {
    method: 'PUT',
    body: { ciphertext },
  })
  t.equal(decrypted.json.data['plaintext'], plaintext)
})

void test('every operation reaches Transit', async (t) => {
  const input = Buffer.from('text').toString('base64')
  const { json } = await socket.ask('transit/encrypt/data', { body: { plaintext: input } })
  const { ciphertext } = json.data
  const signed = await socket.ask('transit/sign/signing/sha2-256', { body: { input } })
  const { signature } = signed.json.data
  const requests: [string, object | undefined, string, string?][] = [
    ['transit/rewrap/data', { ciphertext }, 'ciphertext'],
    ['transit/verify/signing//sha2-256', { input, signature }, 'valid'],
    ['transit/hmac/data/sha2-512', { input }, 'hmac'],
    ['transit/datakey/plaintext/data', {}, 'plaintext'],
    ['transit/datakey/wrapped/data', undefined, 'ciphertext', 'POST'],
    ['transit/random/32', {}, 'random_bytes'],
    ['transit/hash', { input }, 'sum'],
    ['transit/keys/signing', undefined, 'keys'],
  ]
  for (const [path, body, field, method] of requests) {
    const answer = await socket.ask(path, {
      ...(body === undefined ? {} : { body }),
      ...(method === undefined ? {} : { method }),
    })
    t.equal(answer.status, 200, `${path}: ${answer.text}`)
    t.not(answer.json.data[field], undefined, path)
  }
  t.same((await socket.ask('transit/keys', { method: 'LIST' })).json.data['keys'], [
    'data',
    'signing',
  ])
  t.same((await socket.ask('transit/keys?list=true')).json.data['keys'], ['data', 'signing'])
})

void test('an error of Transit is passed on as Vault writes it', async (t) => {
  const answer = await socket.ask('transit/decrypt/data', { body: { ciphertext: 'vault:v1:AAAA' } })
  t.equal(answer.status, 400)
  t.equal(answer.json.errors?.length, 1)
  const missing = await socket.ask('transit/keys/absent')
  t.equal(missing.status, 404)
})

void test('a request that Transit cannot carry out is sent once, and is not an outage', async (t) => {
  await vault.makeKey('rsa', 'rsa-2048')
  const requests: [string, object][] = [
    ['transit/decrypt/rsa', { ciphertext: 'vault:v1:AAAA' }],
    ['transit/sign/signing', { input: 'YQ==', key_version: 99 }],
    ['transit/sign/rsa', { input: 'YQ==', signature_algorithm: 'internal error' }],
    ['transit/encrypt/data', { plaintext: 'YQ==', associated_data: '!' }],
    ['transit/random', { format: 'path disabled in replication DR secondary mode' }],
  ]
  for (const [path, body] of requests) {
    const since = vault.bao.auditMark()
    const answer = await socket.ask(path, { body })
    t.ok(answer.status === 500 || answer.status === 400, `${path}: ${answer.text}`)
    t.equal(answer.json.errors?.length, 1)
    t.equal(vault.bao.auditRequests({ since, path }).length, 1, 'no retry')
    t.equal((await socket.ask('sys/health')).status, 200)
  }
})

void test("Vault's audit names the pod of each request, and contains no plaintext", async (t) => {
  const since = vault.bao.auditMark()
  await socket.ask('transit/random', { body: {} })
  const [request] = vault.bao.auditRequests({ since, path: 'transit/random' })
  t.match(request?.headers['x-transit-bridge-uid']?.[0], new RegExp(`^shop/${pod.name}/`))
  t.match(request?.displayName, /web/)
  const plaintext = Buffer.from('a plaintext for the audit').toString('base64')
  t.equal((await socket.ask('transit/encrypt/data', { body: { plaintext } })).status, 200)
  const audit = vault.bao.rawAudit(since)
  t.match(audit, 'transit/encrypt/data')
  t.notMatch(audit, plaintext)
})

void test('the token, the namespace and the wrapping that a client sends change nothing', async (t) => {
  const since = vault.bao.auditMark()
  const token = await socket.ask('transit/random', {
    body: {},
    headers: { 'X-Vault-Token': 's.of-somebody-else', Authorization: 'Bearer s.of-another' },
  })
  t.equal(token.status, 200)
  const [request] = vault.bao.auditRequests({ since, path: 'transit/random' })
  t.not(request?.displayName, 'root')
  const other = await socket.ask('transit/random', {
    body: {},
    headers: { 'X-Vault-Namespace': 'team-a' },
  })
  t.equal(other.status, 403)
  t.match(other.json.errors?.[0], /X-Vault-Namespace/)
  const own = await socket.ask('transit/random', {
    body: {},
    headers: { 'X-Vault-Namespace': 'root' },
  })
  t.equal(own.status, 200)
  const wrapped = await socket.ask('transit/random', {
    body: {},
    headers: { 'X-Vault-Wrap-TTL': '60s' },
  })
  t.equal(wrapped.status, 400)
  t.match(wrapped.json.errors?.[0], /wrapping is not supported/)
})

void test('a path that is denied is reported with what denies it', async (t) => {
  const errors = async (path: string) => (await socket.ask(path, { body: {} })).json.errors
  t.match(await errors('transit/keys/data/rotate'), [/run-time sockets do not serve this path/])
  t.match(await errors('secret/data/x'), [/no rule in csi.rules .* allows operations at a mount/])
})

void test('what clients ask before they use Transit is answered without Vault', async (t) => {
  const since = vault.bao.auditMark()
  t.match((await socket.ask('sys/health')).json, { initialized: true, sealed: false })
  t.match((await socket.ask('auth/token/lookup-self')).json, { data: { renewable: true } })
  const renewed = await socket.ask('auth/token/renew-self', { method: 'PUT' })
  t.match(renewed.json, { auth: { renewable: true } })
  t.match((await socket.ask('sys/internal/ui/mounts/transit')).json, { data: { type: 'transit' } })
  t.equal((await socket.ask('sys/internal/ui/mounts/secret')).status, 403)
  t.same(vault.bao.auditRequests({ since }), [])
})

void test('a response of more than 4 MiB is an error of the request, not of Vault', async (t) => {
  const { client } = await startBehindGateway(t, (text) => text + ' '.repeat(4 * 1024 * 1024))
  const since = vault.bao.auditMark()
  const answer = await client.ask('transit/encrypt/data', { body: { plaintext: 'YQ==' } })
  t.equal(answer.status, 413, answer.text)
  t.match(answer.json.errors?.[0], /larger than 4 MiB; send a smaller batch/)
  t.equal(vault.bao.auditRequests({ since, path: 'transit/encrypt/data' }).length, 1, 'no retry')
  t.equal((await client.ask('sys/health')).status, 200)
})

void test('no response contains the Vault token of the pod', async (t) => {
  const { client, tokens } = await startBehindGateway(t, (text) => text)
  const requests: [string, Asked?][] = [
    ['sys/health'],
    ['sys/seal-status'],
    ['sys/leader'],
    ['auth/token/lookup-self'],
    ['auth/token/renew-self', { method: 'PUT' }],
    ['sys/internal/ui/mounts/transit'],
    ['auth/token/create', { body: {} }],
    ['cubbyhole/x'],
    ['transit/random', { body: {} }],
    ['transit/keys/data'],
    ['transit/keys', { method: 'LIST' }],
    ['transit/decrypt/data', { body: { ciphertext: 'vault:v1:AAAA' } }],
  ]
  const texts: string[] = []
  for (const [path, asked] of requests) {
    const { headers, text } = await client.ask(path, asked)
    texts.push(JSON.stringify(headers) + text)
  }
  t.equal(tokens.size, 1, 'all requests to Transit had the same token')
  for (const token of tokens) t.notOk(texts.some((text) => text.includes(token)))
})

void test('a gateway in front of Vault may write the JSON with spaces', async (t) => {
  const { client } = await startBehindGateway(t, indent)
  const signed = await client.ask('transit/sign/signing', { body: { input: 'YQ==' } })
  t.equal(signed.status, 200, signed.text)
  t.match(signed.json.data['signature'], /^vault:v1:/)
  const batch = { batch_input: [{ ciphertext: 'vault:v1:AAAA' }] }
  const failed = await client.ask('transit/decrypt/data', { body: batch })
  t.equal(failed.status, 400)
  t.match(failed.json.data['batch_results'], [{ error: String }])
})

void test('a page of a gateway is not a response of Vault', async (t) => {
  const { client } = await startBehindGateway(t, () => '<html>Sign in</html>')
  const answer = await client.ask('transit/random', { body: {} })
  t.equal(answer.status, 503, answer.text)
  t.equal(answer.headers['retry-after'], '1')
  t.equal((await client.ask('sys/health')).status, 503)
  t.equal((await socket.ask('sys/health')).status, 200)
})

/** A pod of a driver whose requests to Transit pass a gateway that changes the text of Vault's responses. */
async function startBehindGateway(t: Test, change: (text: string) => string) {
  const tokens = new Set<string>()
  const gateway = createServer((request, response) => {
    const token = request.headers['x-vault-token']
    if (typeof token === 'string') tokens.add(token)
    void passOn(request, response, change)
  })
  await new Promise<void>((resolve) => gateway.listen(0, '127.0.0.1', resolve))
  const { port } = gateway.address() as AddressInfo
  const behind = await startRuntime(vault, { address: `http://127.0.0.1:${String(port)}` })
  t.teardown(async () => {
    await behind.stop()
    gateway.close()
    gateway.closeAllConnections()
  })
  return { client: await behind.kubelet.publish(newPod()), tokens }
}

async function passOn(
  request: IncomingMessage,
  response: ServerResponse,
  change: (text: string) => string,
): Promise<void> {
  const { method = '', url = '', headers } = request
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  const answer = await fetch(`${vault.bao.address}${url}`, {
    method,
    headers: { 'X-Vault-Token': String(headers['x-vault-token'] ?? ''), 'X-Vault-Request': 'true' },
    body: chunks.length === 0 ? null : Buffer.concat(chunks),
  })
  const text = await answer.text()
  response.statusCode = answer.status
  response.end(url.startsWith('/v1/transit/') ? change(text) : text)
}

function indent(text: string): string {
  return `\n${JSON.stringify(JSON.parse(text), undefined, 2)}`
}

// Explicit, because the open socket keeps tap waiting for more tests.
end()
