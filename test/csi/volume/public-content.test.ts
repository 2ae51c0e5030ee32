import { generateKeyPairSync } from 'node:crypto'
import { test } from 'tap'
import { makePublicFiles } from '../../../src/csi/volume/public-content.ts'
import { PublicContentCache } from '../../../src/csi/volume/public-content-cache.ts'
import type { JwksObject, PublicKeyObject } from '../../../src/csi/class/object-types.ts'
import type { TransitKey } from '../../../src/transit/key.ts'
import { HandClock } from '../../fakes/clock.ts'

const MINUTE = 60_000
const MEBIBYTE = 1024 * 1024
const PEM = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({
  type: 'spki',
  format: 'pem',
})

function keyOf(versions: number, createdAt = 1): TransitKey {
  return {
    name: 'k',
    type: 'rsa-2048',
    latestVersion: versions,
    minDecryptionVersion: 1,
    minEncryptionVersion: 0,
    derived: false,
    softDeleted: false,
    versions: new Map(
      Array.from({ length: versions }, (_none, index) => [
        index + 1,
        { createdAt, publicKey: PEM },
      ]),
    ),
  }
}

function objectOf(path: string): PublicKeyObject {
  return {
    index: 0,
    type: 'publicKey',
    path,
    mode: 0o444,
    optional: false,
    isMounted: true,
    key: 'k',
    version: 'all',
    format: 'pem',
  }
}

/** A cache that counts what it makes. */
function fixture() {
  const clock = new HandClock()
  let made = 0
  const cache = new PublicContentCache(clock, (object, keys) => {
    made += 1
    return makePublicFiles(object, keys)
  })
  return { clock, cache, made: () => made }
}

void test('pods with the same object and the same metadata share its files, and each gets a copy', async (t) => {
  const { cache, made } = fixture()
  const mounts = Array.from({ length: 30 }, () => cache.make(objectOf('keys'), [keyOf(100)]))
  const [first = [], ...others] = await Promise.all(mounts)
  t.equal(made(), 1, 'also when they start together')
  t.equal(first.length, 100)
  first[0]?.contents.fill(0)
  for (const files of others) t.equal(files[0]?.contents.toString(), PEM)
  t.equal((await cache.make({ ...objectOf('keys'), index: 7 }, [keyOf(100)])).length, 100)
  t.equal(made(), 1, 'a republish, after the key was read again')
})

void test('files are made again when the object or the metadata differs, and after 5 minutes without a Mount', async (t) => {
  const { cache, made, clock } = fixture()
  const keys: TransitKey[] = [keyOf(2), keyOf(3), keyOf(2, 9), { ...keyOf(2), name: 'other' }]
  for (const key of keys) await cache.make(objectOf('keys'), [key])
  t.equal(made(), 4)
  await cache.make(objectOf('other'), [keyOf(2)])
  await cache.make({ ...objectOf('keys'), format: 'der' }, [keyOf(2)])
  await cache.make({ ...objectOf('keys'), mode: 0o400 }, [keyOf(2)])
  t.equal(made(), 7)
  await clock.advance(4 * MINUTE)
  await cache.make(objectOf('keys'), [keyOf(2)])
  await clock.advance(4 * MINUTE)
  await cache.make(objectOf('keys'), [keyOf(2)])
  t.equal(made(), 7)
  await clock.advance(5 * MINUTE + 1)
  await cache.make(objectOf('keys'), [keyOf(2)])
  t.equal(made(), 8)
})

void test('an error is not cached', async (t) => {
  const { cache, made } = fixture()
  const key = { ...keyOf(1), type: 'aes256-gcm96', versions: new Map([[1, { createdAt: 1 }]]) }
  for (let round = 0; round < 2; round += 1)
    await t.rejects(cache.make(objectOf('keys'), [key]), { code: 'KEY_UNSUITABLE' })
  t.equal(made(), 2)
})

void test('the size of all files is bounded', async (t) => {
  const { cache } = fixture()
  for (let index = 0; index < 40; index += 1)
    await cache.make(objectOf(`keys-${String(index)}`), [keyOf(500)])
  t.ok(cache.bytes > 4 * MEBIBYTE && cache.bytes <= 8 * MEBIBYTE, String(cache.bytes))
})

void test('a key with thousands of versions is encoded piece by piece, up to the size of a volume', async (t) => {
  let turns = 0
  const count = () => void ((turns += 1), (handle = setImmediate(count)))
  let handle = setImmediate(count)
  t.teardown(() => clearImmediate(handle))
  await t.rejects(makePublicFiles(objectOf('keys'), [keyOf(5_000)]), { code: 'CONTENT_TOO_LARGE' })
  t.ok(turns > 50, 'others had their turn')
})

void test('a JWK set of keys with thousands of versions ends at the size of a volume', async (t) => {
  const { key: _key, version: _version, format: _format, ...common } = objectOf('jwks.json')
  const object: JwksObject = { ...common, type: 'jwks', alg: 'RS256', keys: ['one', 'two'] }
  const keys = object.keys.map((name) => ({ ...keyOf(5_000), name }))
  await t.rejects(makePublicFiles(object, keys), { code: 'CONTENT_TOO_LARGE' })
})
