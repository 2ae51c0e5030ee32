import { test } from 'tap'
import type { CallContext } from '../../src/call-context.ts'
import { BridgeError } from '../../src/errors.ts'
import { Transit } from '../../src/transit/transit.ts'
import type { VaultRequest, VaultRequester, VaultResponse } from '../../src/vault/client/request.ts'

const context: CallContext = { deadline: 1_000, uid: 'u1' }
const bytes = (text: string) => Buffer.from(text)
const base64 = (text: string) => bytes(text).toString('base64')

const copyBody = (body: object): object =>
  JSON.parse(
    JSON.stringify(body, (name, value: unknown) => (name === 'plaintext' ? textOf(value) : value)),
  ) as object

/** Of a Buffer as JSON.stringify passes it on. */
const textOf = (value: unknown): string =>
  Buffer.from((value as { data: number[] }).data).toString()

/** Transit over a Vault that returns one response or error, and records the requests. */
function transitOf(
  answer: Partial<VaultResponse> | BridgeError,
  mount = 'transit',
  isUniform?: boolean,
) {
  const requests: VaultRequest[] = []
  const contexts: CallContext[] = []
  const vault: VaultRequester = {
    request: async (request, given) => {
      const { body } = request
      // A copy, because a secret in it is zeroed at the end.
      requests.push(body === undefined ? request : { ...request, body: copyBody(body) })
      contexts.push(given)
      if (answer instanceof BridgeError) throw answer
      return { status: 200, body: undefined, ...answer }
    },
  }
  return { transit: new Transit({ vault, mount, isUniform }), requests, contexts }
}

const answerWith = (data: unknown, status = 200) => ({ status, body: { data } })

void test('encrypt requests the exact version, with plaintext and AAD in base64', async (t) => {
  const { transit, requests, contexts } = transitOf(answerWith({ ciphertext: 'vault:v3:AAAA' }))
  const input = { plaintext: bytes('seed'), associatedData: bytes('aad'), keyVersion: 3 }
  t.same(await transit.encrypt('k8s-etcd', [input], context), ['vault:v3:AAAA'])
  t.match(requests, [
    {
      operation: 'encrypt',
      method: 'POST',
      path: 'transit/encrypt/k8s-etcd',
      body: { plaintext: base64('seed'), associated_data: base64('aad'), key_version: 3 },
    },
  ])
  t.equal(contexts[0], context)
})

void test('only requests of a user with one key and short values are uniform', async (t) => {
  for (const isUniform of [true, undefined]) {
    const answer = answerWith({ ciphertext: 'vault:v3:AAAA', plaintext: base64('seed') })
    const { transit, requests } = transitOf(answer, 'transit', isUniform)
    const input = { plaintext: bytes('seed'), associatedData: bytes('aad'), keyVersion: 3 }
    await transit.encrypt('k', [input], context)
    await transit.decrypt('k', [{ ciphertext: 'vault:v3:AAAA' }], context)
    t.same(
      requests.map((request) => request.isUniform),
      [isUniform, isUniform],
    )
  }
})

void test('an answer of a node that lags behind a rotation is recognized, in each form', async (t) => {
  const { transit, requests } = transitOf(answerWith({ ciphertext: 'vault:v2:AAAA' }))
  const input = { plaintext: bytes('seed'), associatedData: bytes('aad'), keyVersion: 2 }
  await transit.encrypt('k', [input], context)
  await transit.readKey('k', context, { knownVersion: 2 }).catch(() => undefined)
  await transit.exportKey('k', 'encryption-key', 2, context).catch(() => undefined)
  const [encrypting, reading, exporting] = requests.map(
    ({ isBehind }) =>
      (status: number, body: object) =>
        isBehind?.({ status, text: JSON.stringify(body) }),
  )
  const tooNew = 'ciphertext or signature version is too new'
  const higher = 'requested version for encryption is higher than the latest key version'
  t.equal(encrypting?.(400, { errors: [higher] }), true)
  t.equal(encrypting?.(400, { data: { batch_results: [{ error: tooNew }] } }), true)
  t.equal(encrypting?.(400, { errors: ['cipher: message authentication failed'] }), false)
  t.equal(encrypting?.(200, { data: { ciphertext: 'vault:v2:AAAA' } }), false)
  t.equal(reading?.(200, { data: { latest_version: 1 } }), true)
  t.equal(reading?.(200, { data: { latest_version: 2 } }), false)
  t.equal(reading?.(404, { errors: [] }), false)
  t.equal(exporting?.(400, { errors: ['version does not exist or cannot be found'] }), true)
  t.equal(exporting?.(404, { errors: [] }), false)
})

void test('only the viewed part of a larger buffer is sent', async (t) => {
  const { transit, requests } = transitOf(answerWith({ ciphertext: 'vault:v1:AAAA' }))
  const plaintext = new Uint8Array(bytes('xxseedxx').buffer.slice(0)).subarray(0, 0)
  const inside = Buffer.from('..seed..').subarray(2, 6)
  await transit.encrypt(
    'k',
    [{ plaintext: inside, associatedData: plaintext, keyVersion: 1 }],
    context,
  )
  t.match(requests[0]?.body, { plaintext: base64('seed'), associated_data: '' })
})

const WRONG_ENCRYPTIONS: readonly (readonly [string, unknown])[] = [
  ['another version', { ciphertext: 'vault:v2:AAAA' }],
  ['no Transit text', { ciphertext: 'plain' }],
  ['a number', { ciphertext: 7 }],
  ['nothing', {}],
  ['no data', undefined],
  ['a list', []],
]

for (const [what, data] of WRONG_ENCRYPTIONS) {
  void test(`encrypt answered by ${what} is VAULT_ANSWER_INVALID`, async (t) => {
    const { transit } = transitOf(answerWith(data))
    const input = { plaintext: bytes('s'), associatedData: bytes('a'), keyVersion: 1 }
    await t.rejects(transit.encrypt('k', [input], context), { code: 'VAULT_ANSWER_INVALID' })
  })
}

void test('several plaintexts go in one batch, each with its own version, and its own result or error', async (t) => {
  const results = [
    { ciphertext: 'vault:v3:AAAA', key_version: 3 },
    { error: 'requested version for encryption is less than the minimum encryption key version' },
    { ciphertext: 'vault:v3:CCCC' },
    { ciphertext: 7 },
    null,
    { ciphertext: 'vault:v3:DDDD', error: '' },
  ]
  const { transit, requests } = transitOf(answerWith({ batch_results: results }, 400))
  const inputs = [3, 2, 4, 3, 3, 3].map((keyVersion, index) => ({
    plaintext: bytes(`seed ${index}`),
    associatedData: bytes('aad'),
    keyVersion,
  }))
  t.match(await transit.encrypt('k', inputs, context), [
    'vault:v3:AAAA',
    { code: 'KEY_VERSION_DISABLED' },
    { code: 'VAULT_ANSWER_INVALID', message: /version 4/ },
    { code: 'VAULT_ANSWER_INVALID' },
    { code: 'VAULT_ANSWER_INVALID' },
    'vault:v3:DDDD',
  ])
  t.same(requests[0]?.body, {
    batch_input: inputs.map(({ plaintext, keyVersion }) => ({
      plaintext: plaintext.toString('base64'),
      associated_data: base64('aad'),
      key_version: keyVersion,
    })),
  })
})

const ENCRYPTED = { ciphertext: 'vault:v1:AAAA' }

for (const [what, data] of [
  ['a missing result', { batch_results: [ENCRYPTED] }],
  ['a result too many', { batch_results: [ENCRYPTED, ENCRYPTED, ENCRYPTED] }],
  ['a lone ciphertext', ENCRYPTED],
] as const) {
  void test(`a batch of two plaintexts answered by ${what} is refused as a whole`, async (t) => {
    const { transit } = transitOf(answerWith(data))
    const input = { plaintext: bytes('s'), associatedData: bytes('a'), keyVersion: 1 }
    await t.rejects(transit.encrypt('k', [input, input], context), { code: 'VAULT_ANSWER_INVALID' })
  })
}

void test('a single value is decrypted without batch_input', async (t) => {
  const { transit, requests } = transitOf(answerWith({ plaintext: base64('seed') }))
  const input = { ciphertext: 'vault:v1:AAAA', associatedData: bytes('aad') }
  t.same(await transit.decrypt('k', [input], context), [bytes('seed')])
  t.same(requests[0]?.body, { ciphertext: 'vault:v1:AAAA', associated_data: base64('aad') })
  t.equal(requests[0]?.path, 'transit/decrypt/k')
})

void test('without AAD, no associated_data is sent, as for data of another plugin', async (t) => {
  const { transit, requests } = transitOf(answerWith({ plaintext: '' }))
  t.same(await transit.decrypt('k', [{ ciphertext: 'vault:v1:AAAA' }], context), [bytes('')])
  t.same(requests[0]?.body, { ciphertext: 'vault:v1:AAAA' })
})

void test('several values go in one batch, each with its own result or error', async (t) => {
  const results = [
    { plaintext: base64('one') },
    { plaintext: '', error: 'cipher: message authentication failed' },
    { plaintext: base64('three'), error: '' },
  ]
  const { transit, requests } = transitOf(answerWith({ batch_results: results }, 400))
  const inputs = ['vault:v1:AAAA', 'vault:v1:BBBB', 'vault:v1:CCCC'].map((ciphertext) => ({
    ciphertext,
    associatedData: bytes('aad'),
  }))
  const [one, two, three] = await transit.decrypt('k', inputs, context)
  t.same(one, bytes('one'))
  t.match(two, { code: 'CIPHERTEXT_INVALID' })
  t.same(three, bytes('three'))
  t.same(
    requests[0]?.body,
    {
      batch_input: inputs.map(({ ciphertext }) => ({
        ciphertext,
        associated_data: base64('aad'),
      })),
    },
    'in the order of the inputs',
  )
})

const WRONG_BATCHES: readonly (readonly [string, unknown])[] = [
  ['a missing result', { batch_results: [{ plaintext: '' }] }],
  ['a result too many', { batch_results: [{}, {}, {}] }],
  ['no list', { batch_results: { 0: {}, 1: {} } }],
  ['a lone plaintext', { plaintext: '' }],
  ['no data', undefined],
]

for (const [what, data] of WRONG_BATCHES) {
  void test(`a batch of two answered by ${what} is refused as a whole`, async (t) => {
    const { transit } = transitOf(answerWith(data))
    const inputs = [{ ciphertext: 'vault:v1:AAAA' }, { ciphertext: 'vault:v1:BBBB' }]
    await t.rejects(transit.decrypt('k', inputs, context), { code: 'VAULT_ANSWER_INVALID' })
  })
}

const WRONG_ITEMS = [
  {},
  null,
  'text',
  { plaintext: 7 },
  { plaintext: 'c2Vj*mV0' },
  { plaintext: 'c2VjcmV' },
]

for (const item of WRONG_ITEMS) {
  void test(`an item answered by ${JSON.stringify(item)} does not affect the other result`, async (t) => {
    const { transit } = transitOf(
      answerWith({ batch_results: [item, { plaintext: base64('two') }] }),
    )
    const inputs = [{ ciphertext: 'vault:v1:AAAA' }, { ciphertext: 'vault:v1:BBBB' }]
    const [one, two] = await transit.decrypt('k', inputs, context)
    t.match(one, { code: 'VAULT_ANSWER_INVALID' })
    t.same(two, bytes('two'))
  })
}

void test('an unknown fault of an item is an outage when Vault answers 500, else a refusal', async (t) => {
  const batch = { batch_results: [{ error: 'context canceled' }, { error: 'context canceled' }] }
  const inputs = [{ ciphertext: 'vault:v1:AAAA' }, { ciphertext: 'vault:v1:BBBB' }]
  for (const [status, code, message] of [
    [500, 'VAULT_UNAVAILABLE', 'Vault cannot currently decrypt this value: context canceled'],
    [400, 'VAULT_REJECTED', 'Vault rejects decrypt: context canceled'],
  ] as const) {
    const { transit } = transitOf(answerWith(batch, status))
    const fault = { code, message }
    t.match(await transit.decrypt('k', inputs, context), [fault, fault])
  }
})

void test("an item's fault is one clean line of bounded length, because it is sent to callers", async (t) => {
  const error = `1 error occurred:\n\t* ${'x\u0000\u001b[31m'.repeat(1_000)}`
  const { transit } = transitOf(answerWith({ batch_results: [{ error }, { error }] }, 400))
  const inputs = [{ ciphertext: 'vault:v1:AAAA' }, { ciphertext: 'vault:v1:BBBB' }]
  for (const result of await transit.decrypt('k', inputs, context)) {
    const message = result instanceof BridgeError ? result.message : ''
    t.match(message, /^[\x20-\x7e]{1,430}$/)
    t.notMatch(message, /error occurred/)
  }
})

for (const [key, mount, path] of [
  ['k8s-etcd', 'transit', 'transit/keys/k8s-etcd'],
  ['my key', 'teams/a/transit', 'teams/a/transit/keys/my%20key'],
  ['a/b?c#d', 'transit', 'transit/keys/a%2Fb%3Fc%23d'],
  ['ключ', 'transit', 'transit/keys/%D0%BA%D0%BB%D1%8E%D1%87'],
] as const) {
  void test(`key ${key} of mount ${mount} is read at ${path}`, async (t) => {
    const body = {
      data: { name: key, type: 'aes256-gcm96', latest_version: 1, keys: { 1: 1_700_000_000 } },
    }
    const { transit, requests } = transitOf({ body }, mount)
    t.equal((await transit.readKey(key, context)).latestVersion, 1)
    t.match(requests, [{ operation: 'read_key', method: 'GET', path }])
    t.equal(requests.length, 1)
  })
}

void test('the answer about another key is refused', async (t) => {
  const body = {
    data: { name: 'other', type: 'aes256-gcm96', latest_version: 1, keys: { 1: 1_700_000_000 } },
  }
  const { transit } = transitOf({ body })
  await t.rejects(transit.readKey('k', context), {
    code: 'VAULT_ANSWER_INVALID',
    message: /than k;/,
  })
})

for (const call of ['readKey', 'encrypt', 'decrypt'] as const) {
  void test(`${call} explains Vault's refusals`, async (t) => {
    const run = (error: BridgeError): Promise<unknown> => {
      const { transit } = transitOf(error)
      const input = { plaintext: bytes(''), associatedData: bytes(''), keyVersion: 1 }
      if (call === 'readKey') return transit.readKey('k', context)
      if (call === 'encrypt') return transit.encrypt('k', [input], context)
      return transit.decrypt('k', [{ ciphertext: 'vault:v1:AAAA' }], context)
    }
    const rejected = new BridgeError('VAULT_REJECTED', 'vault rejects it: encryption key not found')
    await t.rejects(run(rejected), { code: 'KEY_MISSING' })
    await t.rejects(run(new BridgeError('VAULT_NOT_FOUND', 'no route')), { code: 'KEY_MISSING' })
    await t.rejects(run(new BridgeError('VAULT_SEALED', 'sealed')), { code: 'VAULT_SEALED' })
  })
}

void test('plaintexts of a response that is not used are zeroed', async (t) => {
  const inputs = [{ ciphertext: 'vault:v1:AAAA' }, { ciphertext: 'vault:v1:BBBB' }]
  const first = Buffer.alloc(32, 1)
  const short = transitOf(answerWith({ batch_results: [{ plaintext: first }] }))
  await t.rejects(short.transit.decrypt('k', inputs, context), { code: 'VAULT_ANSWER_INVALID' })
  t.same(first, Buffer.alloc(32))

  const [kept, failed] = [Buffer.alloc(32, 2), Buffer.alloc(32, 3)]
  const mixed = [{ plaintext: kept }, { plaintext: failed, error: 'invalid ciphertext' }]
  const { transit } = transitOf(answerWith({ batch_results: mixed }, 400))
  t.match(await transit.decrypt('k', inputs, context), [kept, { code: 'CIPHERTEXT_INVALID' }])
  t.same(kept, Buffer.alloc(32, 2))
  t.same(failed, Buffer.alloc(32))
})
