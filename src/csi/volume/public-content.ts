import { setImmediate } from 'node:timers/promises'
import { BridgeError } from '../../errors.ts'
import type { TransitKey } from '../../transit/key.ts'
import { readPublicKey } from '../../transit/public-key.ts'
import { findCertificates } from './certificate.ts'
import { fingerprint, requireSize, type ContentFile } from './content.ts'
import { hasSeveralAlgorithms, makeJwk, requireDistinctIds, type JwkOrigin } from './jwk.ts'
import { encodeOpenSsh } from './openssh.ts'
import type { JwkFields, JwksObject, PublicKeyObject, PublicObject } from '../class/object-types.ts'
import { findVersions, placeVersion } from './wanted-versions.ts'

/**
 * Returns the files of an object that is built from the metadata of its keys. Throws OBJECT_MISSING, OBJECT_UNSUITABLE
 * or KEY_UNSUITABLE.
 */
export async function makePublicFiles(
  object: PublicObject,
  keys: readonly TransitKey[],
): Promise<ContentFile[]> {
  const [key] = keys
  if (key !== undefined && 'context' in object) requireDerived(object.context, key)
  if (object.type === 'jwks') {
    const version = keys.length === 1 ? key?.latestVersion : undefined
    return [makeFile(object, object.path, await encodeJwks(object, keys), version)]
  }
  if (key === undefined) return []
  if (object.type === 'publicKey') return makePublicKeyFiles(object, key)
  if (object.type === 'certificate') {
    return findCertificates(key, object.version).map(([version, chain]) =>
      makeFile(object, placeVersion(object.path, object.version, version), chain, version),
    )
  }
  return [makeFile(object, object.path, encodeKeyInfo(key), key.latestVersion)]
}

/** Vault ignores the context of a key that is not derived, but the author of the class expects another key. */
function requireDerived(context: Buffer | undefined, { name, derived }: TransitKey): void {
  if (context === undefined || derived) return
  throw new BridgeError('OBJECT_UNSUITABLE', `transit key ${name} is not derived; remove context`)
}

/** Versions of a key that are encoded before other Mounts get a turn: a few milliseconds. */
const VERSIONS_AT_ONCE = 20

async function makePublicKeyFiles(
  object: PublicKeyObject,
  key: TransitKey,
): Promise<ContentFile[]> {
  const files: ContentFile[] = []
  let bytes = 0
  for (const [index, version] of findVersions(key, object.version).entries()) {
    if (index % VERSIONS_AT_ONCE === VERSIONS_AT_ONCE - 1) await setImmediate()
    const path = placeVersion(object.path, object.version, version)
    const file = makeFile(object, path, await encodePublicKey(object, key, version), version)
    files.push(file)
    bytes += file.contents.byteLength
    // A key can have thousands of versions.
    requireSize(bytes)
  }
  return files
}

/** The content is public, so the version can be a hash of it. */
function makeFile(
  { mode }: PublicObject,
  path: string,
  contents: Buffer,
  keyVersion?: number,
): ContentFile {
  const prefix = keyVersion === undefined ? '' : `v${String(keyVersion)}-`
  return { path, mode, contents, version: `${prefix}${fingerprint([contents])}` }
}

async function encodePublicKey(
  object: PublicKeyObject,
  key: TransitKey,
  version: number,
): Promise<Buffer> {
  const publicKey = readPublicKey(key, version)
  switch (object.format) {
    case 'pem':
      return Buffer.from(publicKey.export({ type: 'spki', format: 'pem' }))
    case 'der':
      return publicKey.export({ type: 'spki', format: 'der' })
    case 'jwk':
      return encodeJson(await makeJwk(publicKey, originOf(object, key, version)))
    case 'openssh':
      return encodeOpenSsh(publicKey, object.comment)
  }
}

/** Contains every version that Vault still verifies, so that signatures from before a rotation remain valid. */
async function encodeJwks(object: JwksObject, keys: readonly TransitKey[]): Promise<Buffer> {
  const fields = keys.length > 1 ? fieldsForSeveral(object, keys) : () => object
  const made: Awaited<ReturnType<typeof makeJwk>>[] = []
  let bytes = 0
  for (const key of keys) {
    for (const version of findVersions(key, 'all')) {
      if (made.length % VERSIONS_AT_ONCE === VERSIONS_AT_ONCE - 1) await setImmediate()
      const jwk = await makeJwk(readPublicKey(key, version), originOf(fields(key), key, version))
      made.push(jwk)
      requireSize((bytes += JSON.stringify(jwk).length))
    }
  }
  requireDistinctIds(made)
  return encodeJson({ keys: made })
}

/** Among several keys, `alg` applies to the RSA keys. */
function fieldsForSeveral({ alg, kid }: JwksObject, keys: readonly TransitKey[]) {
  const hasRsa = keys.some(({ type }) => hasSeveralAlgorithms(type))
  return ({ type }: TransitKey): JwkFields =>
    hasRsa && !hasSeveralAlgorithms(type) ? { kid } : { alg, kid }
}

function originOf({ alg, kid }: JwkFields, { name, type }: TransitKey, version: number): JwkOrigin {
  return { keyName: name, keyType: type, version, alg, kid }
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
