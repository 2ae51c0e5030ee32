import t from 'tap'
import { PodVault, newPod, ROLE } from '../pod-vault.ts'
import { RUNTIME_POLICY, startRuntime } from './fixture.ts'

const vault = await PodVault.start()
t.teardown(() => vault.stop())
await vault.enableRole(ROLE, RUNTIME_POLICY)
await vault.makeKey('data')
await vault.makeKey('signing', 'ecdsa-p256')
const runtime = await startRuntime(vault)
t.teardown(() => runtime.stop())
const pod = newPod()
const socket = await runtime.kubelet.publish(pod)

void t.test('a pod encrypts and decrypts without a token of its own', async (t) => {
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

void t.test('every operation reaches Transit', async (t) => {
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

void t.test('an error of Transit is passed on as Vault writes it', async (t) => {
  const answer = await socket.ask('transit/decrypt/data', { body: { ciphertext: 'vault:v1:AAAA' } })
  t.equal(answer.status, 400)
  t.equal(answer.json.errors?.length, 1)
  const missing = await socket.ask('transit/keys/absent')
  t.equal(missing.status, 404)
})
