import { test } from 'tap'
import { BridgeError, type ErrorCode } from '../../src/errors.ts'
import { KeyProof } from '../../src/kms/proof.ts'
import { makeSnapshot } from '../../src/seed/key-snapshot.ts'
import type {
  DecryptInput,
  DecryptResult,
  EncryptInput,
  EncryptResult,
} from '../../src/transit/transit.ts'
import { MemoryTransit } from './service-fixture.ts'
import { transitKey } from './transit-key.ts'

const CLUSTERS = { clusterId: 'prod', alsoDecryptClusters: [] }
const CONTEXT = { deadline: 3_000 }

/** A proof over a key in memory; `change` stands for what is wrong with the Transit in front of it. */
function fixture(
  change: (inputs: readonly DecryptInput[], answer: DecryptResult[]) => DecryptResult[] = (
    _inputs,
    answer,
  ) => answer,
  changeEncrypt: (inputs: readonly EncryptInput[], answer: EncryptResult[]) => EncryptResult[] = (
    _inputs,
    answer,
  ) => answer,
) {
  const memory = new MemoryTransit(transitKey(2))
  const sizes: number[] = []
  const encrypts: number[] = []
  const denials: string[] = []
  const proof = new KeyProof({
    transit: {
      encrypt: async (_key, inputs) => {
        encrypts.push(inputs.length)
        const results = await Promise.all(inputs.map((input) => memory.encrypt(input)))
        return changeEncrypt(inputs, results)
      },
      decrypt: async (_key, inputs) => {
        sizes.push(inputs.length)
        const results = change(inputs, await memory.decryptAll(inputs))
        const [first] = results
        // As Transit does: the fault of a single value is that of the request.
        if (inputs.length === 1 && first instanceof BridgeError) throw first
        return results
      },
    },
    keyName: 'k8s-etcd',
    clusterId: 'prod',
    onBatchDenied: (operation, { code }) => void denials.push(`${operation}: ${code}`),
  })
  const snapshot = makeSnapshot(memory.key, CLUSTERS, 0)
  return { memory, sizes, encrypts, denials, prove: () => proof.prove(snapshot, CONTEXT) }
}

const fault = (code: ErrorCode) => new BridgeError(code, `scripted ${code}`)
const plaintext = Buffer.from('transit-bridge health check')

void test('a Transit that works is proven in four requests: encrypt, decrypt, and a batch of each', async (t) => {
  const { prove, sizes, encrypts, denials } = fixture()
  await prove()
  t.same(encrypts, [1, 2])
  t.same(sizes, [1, 4])
  t.same(denials, [])
})

const FAULTS: readonly (readonly [string, Parameters<typeof fixture>[0], ErrorCode])[] = [
  ['ignores AAD', (inputs) => inputs.map(() => Buffer.from(plaintext)), 'AAD_IGNORED'],
  [
    'loses AAD in batches',
    (inputs, answer) =>
      inputs.length > 1 ? answer.map(() => fault('CIPHERTEXT_INVALID')) : answer,
    'AAD_IGNORED',
  ],
  [
    'loses AAD in single requests',
    (inputs, answer) =>
      inputs.length === 1 ? answer.map(() => fault('CIPHERTEXT_INVALID')) : answer,
    'AAD_IGNORED',
  ],
  ['returns something else', (inputs) => inputs.map(() => Buffer.from('else')), 'PLAINTEXT_WRONG'],
  [
    'returns something else in batches',
    (inputs, answer) => (inputs.length > 1 ? answer.map(() => Buffer.from('else')) : answer),
    'PLAINTEXT_WRONG',
  ],
  ['returns nothing', () => [], 'VAULT_ANSWER_INVALID'],
  [
    'fails for one value of a batch',
    (_inputs, [first, ...rest]) => [
      first ?? fault('INTERNAL'),
      ...rest.map(() => fault('VAULT_UNAVAILABLE')),
    ],
    'VAULT_UNAVAILABLE',
  ],
  [
    'mixes up the values of a batch',
    (_inputs, answer) => [...answer.slice(0, -1).toReversed(), ...answer.slice(-1)],
    'PLAINTEXT_WRONG',
  ],
]

for (const [what, change, code] of FAULTS) {
  void test(`a Transit that ${what} is ${code}`, async (t) => {
    await t.rejects(fixture(change).prove(), { code })
  })
}

function denyBatches(inputs: readonly DecryptInput[], answer: DecryptResult[]): DecryptResult[] {
  if (inputs.length > 1) throw fault('VAULT_DENIED')
  return answer
}

void test('a Transit that denies batches is proven value by value, and the denial is reported', async (t) => {
  const { prove, sizes, denials } = fixture(denyBatches)
  await prove()
  t.same(sizes, [1, 4, 1, 1, 1, 1, 4])
  t.same(denials, ['decrypt: VAULT_DENIED'])
})

void test('a batch that is denied once, as happens when a token is revoked, is not reported', async (t) => {
  let isRevoked = true
  const { prove, sizes, denials } = fixture((inputs, answer) => {
    if (inputs.length === 1 || !isRevoked) return answer
    isRevoked = false
    throw fault('VAULT_DENIED')
  })
  await prove()
  t.same(sizes, [1, 4, 1, 1, 1, 1, 4])
  t.same(denials, [])
})

void test('a Transit that denies batches and ignores AAD is AAD_IGNORED', async (t) => {
  const { prove } = fixture((inputs, answer) =>
    denyBatches(inputs, answer).map(() => Buffer.from(plaintext)),
  )
  await t.rejects(prove(), { code: 'AAD_IGNORED' })
})

/** A Transit that denies a batch of plaintexts as often as this. */
function denyEncrypts(times: number) {
  let left = times
  return fixture(undefined, (inputs, answer) => {
    if (inputs.length === 1 || left === 0) return answer
    left -= 1
    throw fault('VAULT_DENIED')
  })
}

void test('a Transit that denies batches of plaintexts is proven, and the denial is reported', async (t) => {
  const { prove, encrypts, sizes, denials } = denyEncrypts(2)
  await prove()
  t.same(encrypts, [1, 2, 1, 2])
  t.same(sizes, [1, 2])
  t.same(denials, ['encrypt: VAULT_DENIED'])
})

void test('a batch of plaintexts that is denied once is not reported', async (t) => {
  const { prove, encrypts, sizes, denials } = denyEncrypts(1)
  await prove()
  t.same(encrypts, [1, 2, 1, 2])
  t.same(sizes, [1, 4])
  t.same(denials, [])
})

void test('a Transit that loses the AAD of a batch of plaintexts is AAD_IGNORED', async (t) => {
  const memory = new MemoryTransit(transitKey(2))
  const other = { plaintext, associatedData: Buffer.alloc(0), keyVersion: 2 }
  const withoutAad = await memory.encrypt(other)
  const { prove } = fixture(undefined, (inputs, answer) =>
    inputs.length > 1 ? answer.map(() => withoutAad) : answer,
  )
  await t.rejects(prove(), { code: 'AAD_IGNORED' })
})

void test('a Transit that fails for one plaintext of a batch is not proven', async (t) => {
  const { prove } = fixture(undefined, (inputs, [first, ...rest]) =>
    inputs.length > 1 ? [fault('KEY_VERSION_DISABLED'), ...rest] : [first ?? ''],
  )
  await t.rejects(prove(), { code: 'KEY_VERSION_DISABLED' })
  await t.rejects(fixture(undefined, () => []).prove(), { code: 'VAULT_ANSWER_INVALID' })
})

void test('a Transit that mixes up the plaintexts of a batch is PLAINTEXT_WRONG', async (t) => {
  const { prove } = fixture(undefined, (_inputs, answer) => answer.toReversed())
  await t.rejects(prove(), { code: 'PLAINTEXT_WRONG' })
})
