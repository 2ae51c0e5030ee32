import { createHmac, randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { CallContext } from '../../call-context.ts'
import { BridgeError } from '../../errors.ts'
import type { Secret } from '../../secret.ts'
import { decodeExportedKey, exportKindOf, isAsymmetric } from '../../transit/private-key.ts'
import { authenticatesAad, type TransitKey } from '../../transit/key.ts'
import type { Transit } from '../../transit/transit.ts'
import { fingerprint, zeroFiles, type ContentFile } from './content.ts'
import { decodeContent, encodeContent } from './encoding.ts'
import type { CiphertextObject, ExportedKeyObject } from '../class/object-types.ts'
import { selectPart } from './value-part.ts'
import { findVersions, placeVersion } from './wanted-versions.ts'

/** Random, so that an object version reveals nothing about the material that it was derived from. */
const VERSION_KEY = randomBytes(32)

const NONE = Buffer.alloc(0)

/** The files of an object, or the error instead of them. */
export type ObjectContent = readonly ContentFile[] | BridgeError

/**
 * Decrypts all objects of one key in one request, or in two if only some have a context: Transit refuses such a batch
 * (Vault, builtin/logical/transit/path_decrypt.go: "context should be set either in all the request blocks or in none").
 */
export async function decryptObjects(
  key: string,
  objects: readonly CiphertextObject[],
  engine: Transit,
  context: CallContext,
): Promise<ReadonlyMap<number, ObjectContent>> {
  const groups = [
    objects.filter((object) => object.context === undefined),
    objects.filter((object) => object.context !== undefined),
  ].filter((group) => group.length > 0)
  const contents = await Promise.all(
    groups.map((group) => decryptGroup(key, group, engine, context)),
  )
  return new Map(contents.flat())
}

type Entry = readonly [number, ObjectContent]

async function decryptGroup(
  key: string,
  objects: readonly CiphertextObject[],
  engine: Transit,
  context: CallContext,
): Promise<readonly Entry[]> {
  try {
    const results = await engine.decrypt(key, objects, context)
    const entries: Entry[] = []
    for (const [index, object] of objects.entries()) {
      const result = results[index] ?? new BridgeError('INTERNAL', 'internal error')
      entries.push([
        object.index,
        result instanceof BridgeError ? asFaultOfClass(result) : writeValue(object, result),
      ])
      // Parsing takes time, and other Mounts wait.
      if (object.selection !== undefined) await setImmediate()
    }
    return entries
  } catch (thrown) {
    const error = asFaultOfClass(BridgeError.from(thrown))
    return objects.map((object) => [object.index, error])
  }
}

/**
 * A version that the key does not have comes from the class. For the plugin it means that Vault lags behind, which is an
 * outage. Here, an outage would hide the other faults of the class, and a pod author could trigger its alert.
 */
function asFaultOfClass(error: BridgeError): BridgeError {
  if (error.code !== 'KEY_VERSION_UNKNOWN') return error
  return new BridgeError('CIPHERTEXT_INVALID', error.message, { cause: error })
}

/** Takes over the plaintext. */
function writeValue(object: CiphertextObject, plaintext: Buffer): ObjectContent {
  const { path, mode, encoding, selection, decode } = object
  try {
    const part = selection === undefined ? plaintext : selectPart(plaintext, selection)
    const value = decode === undefined ? part : decodeContent(part, decode)
    const contents = encodeContent(value, encoding)
    return [{ path, mode, contents, version: versionOf(object) }]
  } catch (thrown) {
    return BridgeError.from(thrown)
  }
}

function versionOf(object: CiphertextObject): string {
  const { key, ciphertext, selection, decode = '', encoding, context, associatedData } = object
  const part = selection === undefined ? '' : `${selection.language} ${selection.pointer}`
  const inputs = [context ?? NONE, associatedData ?? NONE]
  return fingerprint([key, ciphertext, part, decode, encoding, ...inputs])
}

/** Whether file versions of an exportedKey are still current according to key metadata, without an export. */
export function areCurrent(
  fileVersions: readonly string[],
  object: ExportedKeyObject,
  key: TransitKey,
): boolean {
  const versions = findVersions(key, object.version)
  if (versions.length !== fileVersions.length) return false
  return versions.every((version, index) => {
    const held = fileVersions[index]
    if (!isDated(key, version)) return held?.startsWith(`v${String(version)}-`) === true
    return held === datedVersion(object, key, version)
  })
}

/** Exports the key versions of an object. Throws KEY_UNSUITABLE if the key is not exportable. */
export async function exportObject(
  object: ExportedKeyObject,
  key: TransitKey,
  engine: Transit,
  context: CallContext,
): Promise<ContentFile[]> {
  if (key.derived) {
    throw new BridgeError(
      'OBJECT_UNSUITABLE',
      `transit key ${key.name} is derived: Vault exports only its base key, which Transit does not use directly; use a key with derived=false`,
    )
  }
  if (!isExportable(key.type)) {
    throw new BridgeError(
      'OBJECT_UNSUITABLE',
      `transit key ${key.name} has type ${key.type}, whose export is not supported`,
    )
  }
  const versions = findVersions(key, object.version)
  const [only] = versions
  const wanted = object.version === 'all' || only === undefined ? 'all' : only
  const exported = await engine.exportKey(object.key, exportKindOf(key.type), wanted, context)
  const files: ContentFile[] = []
  try {
    for (const version of versions)
      files.push(makeExportedFile(object, key, version, exported.get(version)))
    return files
  } catch (thrown) {
    zeroFiles(files)
    throw thrown
  } finally {
    for (const material of exported.values()) material.reveal().fill(0)
  }
}

function makeExportedFile(
  object: ExportedKeyObject,
  key: TransitKey,
  version: number,
  material: Secret<Buffer> | undefined,
): ContentFile {
  if (material === undefined) {
    throw new BridgeError('OBJECT_MISSING', `Vault did not export version ${String(version)}`)
  }
  const bytes = decodeExportedKey(key.type, material)
  return {
    path: placeVersion(object.path, object.version, version),
    mode: object.mode,
    version: isDated(key, version)
      ? datedVersion(object, key, version)
      : undatedVersion(object, version, bytes),
    contents: encodeContent(bytes, object.encoding),
  }
}

/** Other types, for example of Vault Enterprise, have formats that are not known here. */
function isExportable(type: string): boolean {
  return type === 'hmac' || authenticatesAad(type) || isAsymmetric(type)
}

/** Vault returns no creation times for keys of type hmac. */
function isDated(key: TransitKey, version: number): boolean {
  return (key.versions.get(version)?.createdAt ?? 0) > 0
}

/** A key that is deleted and created again has different creation times. */
function datedVersion(object: ExportedKeyObject, key: TransitKey, version: number): string {
  const { encoding, mount, vaultNamespace } = object
  const createdAt = key.versions.get(version)?.createdAt ?? 0
  const place =
    mount === undefined && vaultNamespace === undefined ? [] : [mount ?? '', vaultNamespace ?? '']
  const parts = [key.name, key.type, String(createdAt), encoding, ...place]
  return `v${String(version)}-${fingerprint(parts)}`
}

/** Without a creation time only the material shows that a key was created again. See docs/design.md, "CSI content". */
function undatedVersion({ encoding }: ExportedKeyObject, version: number, bytes: Buffer): string {
  const mac = createHmac('sha256', VERSION_KEY).update(`${encoding}:`).update(bytes)
  return `v${String(version)}-${mac.digest('base64url').slice(0, 22)}`
}
