// Clients of Vault, unchanged, on the socket of a volume: those that take minutes to build. test/csi/runtime/clients.test.ts has the
// others. See docs/runtime-clients.md.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { PROGRAM } from '../../commands/program.ts'
import { PodVault, ROLE } from '../../csi/pod-vault.ts'
import { RUNTIME_POLICY, startRuntime } from '../../csi/runtime/fixture.ts'
import { recordRequests } from '../../csi/runtime/recorded-requests.ts'
import { obtain } from '../../real/host/parts.ts'
import { freePort } from '../../real/host/port.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { Program } from '../../real/program/program.ts'
import { runToEnd } from '../../real/program/run-to-end.ts'

const vault = await PodVault.start()
t.teardown(() => vault.stop())
await vault.enableRole(ROLE, RUNTIME_POLICY)
await vault.makeKey('data')
await vault.makeKey('signing', 'ecdsa-p256')
const runtime = await startRuntime(vault)
t.teardown(() => runtime.stop())
const recorder = await recordRequests((await runtime.kubelet.publish()).path)
t.teardown(() => recorder.stop())
const home = tempFolder('home')
const UNIX = { VAULT_ADDR: `unix://${recorder.path}`, HOME: home }

const port = await freePort()
const url = `http://127.0.0.1:${String(port)}`
const forwarder = Program.start({
  name: 'forward',
  command: PROGRAM,
  args: ['forward', '--socket', recorder.path, '--listen', `127.0.0.1:${String(port)}`],
  folder: home,
})
t.teardown(() => forwarder.terminate())
await forwarder.waitForSocket(port)

/** Runs a client; returns what it printed. */
async function run(t: Test, command: string, args: readonly string[], env: Record<string, string>) {
  const { code, stdout, stderr } = await runToEnd(command, args, { cwd: home, env })
  t.equal(code, 0, `${command} ${args[0] ?? ''}: ${stderr}`)
  return stdout
}

/** What the client sent, each request once. The Go client chooses the status codes of sys/health in the query. */
function sent(): readonly string[] {
  const lines = recorder.take().map(({ line }) => line.replace(/(?<=sys\/health)\?.*/, ''))
  return [...new Set(lines)]
}

void t.test("HashiCorp's Go API", async (t) => {
  const output = await run(t, await obtain('transit-clients'), ['api', 'data'], UNIX)
  t.same(output.trim().split('\n'), [
    'health: initialized true sealed false',
    'seal status: sealed false',
    'token: renewable true',
    'watcher: renewed',
    'encrypt, decrypt: ok',
    'list: [data signing]',
    'read: aes256-gcm96',
    'read of an absent key: nothing',
    'write to another engine: 403',
  ])
  t.same(sent(), [
    'GET /v1/sys/health',
    'GET /v1/sys/seal-status',
    'GET /v1/auth/token/lookup-self',
    'PUT /v1/auth/token/renew-self',
    'PUT /v1/transit/encrypt/data',
    'PUT /v1/transit/decrypt/data',
    'GET /v1/transit/keys?list=true',
    'GET /v1/transit/keys/data',
    'GET /v1/transit/keys/absent',
    'PUT /v1/secret/data/x',
  ])
})

void t.test("sigstore's hashivault signer", async (t) => {
  const env = { ...UNIX, VAULT_TOKEN: 'ignored' }
  const output = await run(t, await obtain('transit-clients'), ['sigstore', 'signing'], env)
  t.same(output.trim().split('\n'), [
    'sign: ok',
    'verify with the public key: ok',
    'verify with Transit: ok',
    'verify of another message: refused',
    'public key: *ecdsa.PublicKey',
  ])
  t.same(sent(), [
    'GET /v1/transit/keys/signing',
    'PUT /v1/transit/sign/signing/sha2-256',
    'PUT /v1/transit/verify/signing/sha2-256',
  ])
})

void t.test("go-kms-wrapping's transit wrapper, which renews its token", async (t) => {
  const env = { ...UNIX, VAULT_TOKEN: 'ignored' }
  const output = await run(t, await obtain('transit-clients'), ['kms-wrapping', 'data'], env)
  t.match(output, /successfully renewed token/)
  t.match(output, /encrypt, decrypt: ok with key version v1/)
  // The library and its LifetimeWatcher renew in parallel with the first request.
  t.same(sent().toSorted(), [
    'PUT /v1/auth/token/renew-self',
    'PUT /v1/transit/decrypt/data',
    'PUT /v1/transit/encrypt/data',
  ])
})

for (const [name, address] of [
  ['VAULT_AGENT_ADDR', { VAULT_AGENT_ADDR: `unix://${recorder.path}` }],
  ['the forwarder', {}],
] as const) {
  void t.test(`SOPS, through ${name}`, async (t) => {
    const sops = await obtain('sops')
    const env = { ...address, HOME: home, VAULT_TOKEN: 'ignored' }
    const file = join(home, 'values.yaml')
    const text = 'password: correct horse\n'
    writeFileSync(file, text)
    const key = `${url}/v1/transit/keys/data`
    const args = ['--hc-vault-transit', key, '--encrypt', '--in-place', file]
    await run(t, sops, args, env)
    const encrypted = readFileSync(file, 'utf8')
    t.match(encrypted, /enc: vault:v1:/)
    t.notMatch(encrypted, 'correct horse')
    t.equal(await run(t, sops, ['--decrypt', file], env), text)
    t.same(sent(), ['PUT /v1/transit/encrypt/data', 'PUT /v1/transit/decrypt/data'])
  })
}

const HVAC = `
import base64, os, hvac
client = hvac.Client(url=os.environ["VAULT_ADDR"], token="ignored")
print("authenticated", client.is_authenticated())
print("sealed", client.sys.is_sealed())
print("healthy", client.sys.read_health_status(method="GET")["initialized"])
transit = client.secrets.transit
text = base64.b64encode(b"text").decode()
ciphertext = transit.encrypt_data("data", plaintext=text)["data"]["ciphertext"]
print("decrypted", transit.decrypt_data("data", ciphertext=ciphertext)["data"]["plaintext"] == text)
rewrapped = transit.rewrap_data("data", ciphertext=ciphertext)["data"]["ciphertext"]
print("rewrapped", rewrapped != ciphertext)
signature = transit.sign_data("signing", hash_input=text, hash_algorithm="sha2-256")["data"]["signature"]
valid = transit.verify_signed_data("signing", hash_input=text, signature=signature, hash_algorithm="sha2-256")
print("valid", valid["data"]["valid"])
print("hmac", transit.generate_hmac("data", hash_input=text)["data"]["hmac"][:9])
print("data key", sorted(transit.generate_data_key("data", key_type="plaintext")["data"]))
print("random", len(base64.b64decode(transit.generate_random_bytes(32)["data"]["random_bytes"])))
print("hash", len(transit.hash_data(hash_input=text, algorithm="sha2-256")["data"]["sum"]))
print("keys", transit.list_keys()["data"]["keys"])
print("type", transit.read_key("signing")["data"]["type"])
for refused in (lambda: transit.export_key("data", key_type="encryption-key"), lambda: transit.rotate_key("data")):
    try:
        refused()
    except hvac.exceptions.VaultError as error:
        print("refused", type(error).__name__)
client.auth.token.renew_self()
`

void t.test('hvac, through the forwarder', async (t) => {
  const folder = await obtain('hvac')
  const env = { VAULT_ADDR: url, PYTHONPATH: folder, HOME: home }
  const output = await run(t, 'python3', ['-c', HVAC], env)
  t.same(output.trim().split('\n'), [
    'authenticated True',
    'sealed False',
    'healthy True',
    'decrypted True',
    'rewrapped True',
    'valid True',
    'hmac vault:v1:',
    "data key ['ciphertext', 'key_version', 'plaintext']",
    'random 32',
    'hash 64',
    "keys ['data', 'signing']",
    'type ecdsa-p256',
    'refused Forbidden',
    'refused Forbidden',
  ])
  t.same(sent(), [
    'GET /v1/auth/token/lookup-self',
    'GET /v1/sys/seal-status',
    'GET /v1/sys/health',
    'POST /v1/transit/encrypt/data',
    'POST /v1/transit/decrypt/data',
    'POST /v1/transit/rewrap/data',
    'POST /v1/transit/sign/signing',
    'POST /v1/transit/verify/signing',
    'POST /v1/transit/hmac/data',
    'POST /v1/transit/datakey/plaintext/data',
    'POST /v1/transit/random',
    'POST /v1/transit/hash',
    'LIST /v1/transit/keys',
    'GET /v1/transit/keys/signing',
    'GET /v1/transit/export/encryption-key/data',
    'POST /v1/transit/keys/data/rotate',
    'POST /v1/auth/token/renew-self',
  ])
})
