import type { KeyObject } from 'node:crypto'
import type { TransitKey } from '../../transit/key.ts'
import { readPublicKey } from '../../transit/public-key.ts'
import { fingerprint, type ContentFile } from './content.ts'
import { makeJwk } from './jwk.ts'
import type { JwksObject, PublicKeyObject, PublicObject } from '../class/object-types.ts'
import { findVersions, placeVersion } from './wanted-versions.ts'

/** Returns the files of an object that is built from key metadata. Throws OBJECT_MISSING, OBJECT_UNSUITABLE or KEY_UNSUITABLE. */
export function makePublicFiles(object: PublicObject, key: TransitKey): ContentFile[] {
  switch (object.type) {
    case 'publicKey':
      return findVersions(key, object.version).map((version) => {
        const path = placeVersion(object.path, object.version, version)
        return makeFile(object, path, encodePublicKey(object, key, version), version)
      })
    case 'jwks':
      return [makeFile(object, object.path, encodeJwks(object, key), key.latestVersion)]
    case 'keyInfo':
      return [makeFile(object, object.path, encodeKeyInfo(key), key.latestVersion)]
  }
}

/** The content is public, so the version can be a hash of it. */
function makeFile(
  { mode }: PublicObject,
  path: string,
  contents: Buffer,
  version: number,
): ContentFile {
  return { path, mode, contents, version: `v${String(version)}-${fingerprint([contents])}` }
}

function encodePublicKey(object: PublicKeyObject, key: TransitKey, version: number): Buffer {
  const publicKey = readPublicKey(key, version)
  switch (object.format) {
    case 'pem':
      return Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }))
    case 'der':
      return publicKey.export({ type: 'spki', format: 'der' })
    case 'jwk':
      return encodeJson(jwkOf(object, key, version, publicKey))
  }
}

/** Contains every version that Vault still verifies, so that signatures from before a rotation remain valid. */
function encodeJwks(object: JwksObject, key: TransitKey): Buffer {
  const keys = findVersions(key, 'all').map((version) =>
    jwkOf(object, key, version, readPublicKey(key, version)),
  )
  return encodeJson({ keys })
}

function jwkOf(
  { alg }: PublicKeyObject | JwksObject,
  { name, type }: TransitKey,
  version: number,
  publicKey: KeyObject,
) {
  return makeJwk(publicKey, { keyName: name, keyType: type, version, alg })
}

function encodeKeyInfo(key: TransitKey): Buffer {
  return encodeJson({
    name: key.name,
    type: key.type,
    latestVersion: key.latestVersion,
    minDecryptionVersion: key.minDecryptionVersion,
    minEncryptionVersion: key.minEncryptionVersion,
    versions: findVersions(key, 'all').map((version) => describeVersion(key, version)),
  })
}

function describeVersion({ versions }: TransitKey, version: number) {
  const createdAt = versions.get(version)?.createdAt ?? 0
  if (createdAt === 0) return { version }
  return { version, createdAt: new Date(createdAt * 1000).toISOString() }
}

function encodeJson(value: object): Buffer {
  return Buffer.from(`${JSON.stringify(value, null, 2)}\n`)
}
