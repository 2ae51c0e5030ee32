import { randomBytes } from 'node:crypto'
import { test } from 'tap'
import { DeepProof } from '../../src/verify/deep-proof.ts'
import { parseStoredValue } from '../../src/storage/stored-value.ts'
import { SourceReader } from '../../src/storage/source-reader.ts'
import { BridgeError } from '../../src/errors.ts'
import { encodeAssociatedData, makeLocalAnnotations } from '../../src/seed/annotations.ts'
import { sealSeed } from '../../src/seed/local-seal.ts'
import { makeKeyId } from '../../src/seed/key-id.ts'
import type { DecryptInput, DecryptResult } from '../../src/transit/transit.ts'
import { HandClock } from '../fakes/clock.ts'
import { transitKey } from '../kms/transit-key.ts'
import { kmsV1Value, kmsV2Value, sealByKey, sealBySeed } from './envelopes.ts'

const SEED = randomBytes(32)
const key = transitKey(3)
const keyId = (keyVersion: number) =>
  makeKeyId({
    clusterId: 'test-cluster',
    keyName: key.name,
    keyVersion,
    createdAt: key.versions.get(keyVersion)?.createdAt ?? 0,
  })

function fixture({
  decrypt,
  objects = true,
  acceptVaultKubernetesKms = false,
}: {
  decrypt?: (inputs: readonly DecryptInput[]) => DecryptResult[]
  objects?: boolean
  acceptVaultKubernetesKms?: boolean
} = {}) {
  const requests: number[] = []
  const given: Buffer[] = []
  const reader = new SourceReader({
    transit: {
      readKey: () => Promise.resolve(key),
      decrypt: (_key, inputs) => {
        requests.push(inputs.length)
        if (decrypt !== undefined) return Promise.resolve(decrypt(inputs))
        const answers = inputs.map(() => Buffer.from(SEED))
        given.push(...answers)
        return Promise.resolve(answers)
      },
    },
    place: { mount: 'transit', key: 'k8s-etcd' },
    clusters: { clusterId: 'test-cluster', alsoDecryptClusters: [] },
    clock: new HandClock(),
    uid: 'verify-test',
  })
  return { proof: new DeepProof({ reader, acceptVaultKubernetesKms, objects }), requests, given }
}

function object(name: string, value: Buffer) {
  return { key: Buffer.from(`/registry/secrets/a/${name}`), stored: parseStoredValue(value) }
}

function sealed(name: string, ciphertext = 'vault:v3:QUJD') {
  const data = sealBySeed(SEED, `/registry/secrets/a/${name}`, 'k8s\0')
  const source = Buffer.from(ciphertext)
  const version = Number(/v(\d)/.exec(ciphertext.slice(5))?.[1])
  return object(name, kmsV2Value({ data, source, keyId: keyId(version) }))
}

void test('objects of one seed cost one Decrypt, and seeds are sent together', async (t) => {
  const { proof, requests, given } = fixture()
  const many = Array.from({ length: 100 }, (_, at) =>
    sealed(String(at), `vault:v3:${btoa(`a${String(at % 70)}`)}`),
  )
  t.same(await proof.check(many), Array(100).fill(undefined))
  t.same(requests, [64, 6])
  t.same(await proof.check(many), Array(100).fill(undefined))
  t.same(requests, [64, 6], 'they are remembered')
  proof.end()
  t.ok(
    given.every((seed) => seed.every((byte) => byte === 0)),
    'and zeroed at the end',
  )
})

const LOCAL_KEY = Buffer.alloc(32, 9)

function sealedLocally(name: string, wrapped: string, localKey = LOCAL_KEY) {
  const annotations = makeLocalAnnotations('test-cluster', wrapped)
  const source = sealSeed(localKey, SEED, encodeAssociatedData(annotations))
  const data = sealBySeed(SEED, `/registry/secrets/a/${name}`, 'k8s\0')
  return object(
    name,
    kmsV2Value({ data, source, keyId: keyId(3), annotations: { ...annotations } }),
  )
}

void test('all seeds under one local key cost one request, also on later pages', async (t) => {
  const given: Buffer[] = []
  const { proof, requests } = fixture({
    decrypt: (inputs) =>
      inputs.map(() => {
        const copy = Buffer.from(LOCAL_KEY)
        given.push(copy)
        return copy
      }),
  })
  const page = (start: number) =>
    Array.from({ length: 100 }, (_, at) =>
      sealedLocally(String(start + at), `vault:v3:${btoa(`key ${String(at % 2)}`)}`),
    )
  t.same(await proof.check(page(0)), Array(100).fill(undefined))
  t.same(await proof.check(page(100)), Array(100).fill(undefined))
  t.same(requests, [2])
  proof.end()
  t.ok(given.every((copy) => copy.every((byte) => byte === 0)))
})

void test('a local key that Transit does not decrypt makes all its objects unreadable, and no others', async (t) => {
  const { proof } = fixture({
    decrypt: (inputs) =>
      inputs.map(({ ciphertext }) =>
        ciphertext.endsWith('QkFE')
          ? new BridgeError('CIPHERTEXT_INVALID', 'message authentication failed')
          : Buffer.from(ciphertext.endsWith('c2hv') ? SEED.subarray(0, 16) : LOCAL_KEY),
      ),
  })
  const findings = await proof.check([
    sealedLocally('a', 'vault:v3:QkFE'),
    sealedLocally('b', 'vault:v3:QkFE'),
    sealedLocally('c', 'vault:v3:QUJD'),
    sealedLocally('d', 'vault:v3:c2hv'),
    sealedLocally('e', 'vault:v3:QUJD', Buffer.alloc(32, 1)),
  ])
  t.match(findings, [
    { kind: 'unreadable', why: /DEK seed: message authentication/ },
    { kind: 'unreadable', why: /DEK seed: message authentication/ },
    undefined,
    { kind: 'unreadable', why: /does not contain a local key/ },
    { kind: 'unreadable', why: /does not match its local key/ },
  ])
})

void test('without objects no seed is kept', async (t) => {
  const { proof, given } = fixture({ objects: false })
  const moved = { ...sealed('a'), key: Buffer.from('/registry/secrets/a/elsewhere') }
  t.same(await proof.check([moved]), [undefined])
  t.ok(given[0]?.every((byte) => byte === 0))
})

void test('a fault of one source affects only its objects', async (t) => {
  const { proof } = fixture({
    decrypt: (inputs) =>
      inputs.map(({ ciphertext }) =>
        ciphertext.endsWith('QkFE')
          ? new BridgeError('CIPHERTEXT_INVALID', 'message authentication failed')
          : Buffer.from(SEED),
      ),
  })
  const findings = await proof.check([sealed('good'), sealed('bad', 'vault:v3:QkFE')])
  t.match(findings, [undefined, { kind: 'unreadable', why: /DEK seed: message authentication/ }])
})

void test('an outage of Vault says nothing about the data', async (t) => {
  const { proof } = fixture({
    decrypt: (inputs) => inputs.map(() => new BridgeError('VAULT_UNAVAILABLE', 'internal error')),
  })
  await t.rejects(proof.check([sealed('a'), sealed('b', 'vault:v3:QkFE')]), {
    code: 'VAULT_UNAVAILABLE',
  })
})

void test('what the plugin would refuse is refused before Vault is asked', async (t) => {
  const { proof, requests } = fixture()
  const foreign = makeKeyId({ clusterId: 'x', keyName: 'y', keyVersion: 1, createdAt: 1 })
  const findings = await proof.check([
    object('a', kmsV2Value({ keyId: foreign })),
    object('b', kmsV2Value({ keyId: keyId(2) })),
    object('c', kmsV2Value({ annotations: {} })),
    object('d', kmsV2Value({ source: Buffer.from('opaque') })),
  ])
  t.match(findings, [
    { kind: 'unreadable', why: /matches no version of transit key/ },
    { kind: 'unreadable', why: /key version 3, but its key id stands for version 2/ },
    { kind: 'unreadable', why: /annotations are not those of transit-bridge/ },
    { kind: 'unreadable', why: /does not have the form of Transit/ },
  ])
  t.same(requests, [])
})

void test('data of other plugins is proven only where it is accepted', async (t) => {
  const name = '/registry/secrets/a/a'
  const others = {
    keyId: '1',
    annotations: {},
    source: Buffer.from('vault:v1:QUJD'),
    data: sealBySeed(SEED, name, 'k8s\0'),
  }
  const v1 = kmsV1Value('old', Buffer.from('vault:v1:QUJE'), sealByKey(SEED, name, 'k8s\0'))
  const values = [kmsV2Value(others), v1, Buffer.from(`k8s:enc:aescbc:v1:one:${'x'.repeat(32)}`)]
  const objects = values.map((value) => object('a', value))
  const strict = await fixture().proof.check(objects)
  t.match(
    strict,
    values.map(() => ({ kind: 'unproven' })),
  )
  const accepting = await fixture({ acceptVaultKubernetesKms: true }).proof.check(objects)
  t.match(accepting, [undefined, undefined, { kind: 'unproven' }])
})
