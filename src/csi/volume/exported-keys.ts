import { createHmac, randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import type { CallContext } from '../../call-context.ts'
import { BridgeError } from '../../errors.ts'
import type { Secret } from '../../secret.ts'
import { authenticatesAad, type TransitKey } from '../../transit/key.ts'
import { decodeExportedKey, exportKindOf, isAsymmetric } from '../../transit/private-key.ts'
import type { Transit } from '../../transit/transit.ts'
import { isAbsence } from '../class/object-fault.ts'
import type { ExportedKeyObject } from '../class/object-types.ts'
import { fingerprint, zeroFiles, type ContentFile } from './content.ts'
import { encodeContent } from './encoding.ts'
import type { ObjectContent } from './secret-content.ts'
import { findVersions, placeVersion } from './wanted-versions.ts'

/** Random, so that an object version reveals nothing about the material that it was derived from. */
const VERSION_KEY = randomBytes(32)
/** Versions that are decoded before other Mounts get a turn: a few milliseconds. */
const VERSIONS_AT_ONCE = 20

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

/**
 * Exports the versions that objects of one key want, with one request: each object has the same `version`. Throws
 * KEY_UNSUITABLE if the key is not exportable.
 * @param count counts the bytes of each file; throws CONTENT_TOO_LARGE
 */
export async function exportObjects(
  objects: readonly ExportedKeyObject[],
  key: TransitKey,
  engine: Transit,
  context: CallContext,
  count: (bytes: number) => void,
): Promise<ReadonlyMap<number, ObjectContent>> {
  requireExportable(key)
  const wanted = objects[0]?.version ?? 'latest'
  const versions = findVersions(key, wanted)
  const [only] = versions
  const asked = wanted === 'all' || only === undefined ? 'all' : only
  const exported = await engine
    .exportKey(key.name, exportKindOf(key.type), asked, context)
    .catch((thrown: unknown) => rethrowAbsence(thrown, key, versions))
  const made = new MadeFiles(objects, count)
  try {
    for (const [index, version] of versions.entries()) {
      if (index % VERSIONS_AT_ONCE === VERSIONS_AT_ONCE - 1) await setImmediate()
      made.add(key, version, exported.get(version))
    }
    return made.contents
  } catch (thrown) {
    for (const files of made.contents.values())
      if (!(files instanceof BridgeError)) zeroFiles(files)
    throw thrown
  } finally {
    for (const material of exported.values()) material.reveal().fill(0)
  }
}

/**
 * What Vault showed in the metadata of the key exists. A node that does not have it yet lags behind, or it was removed since, which
 * the next read of the metadata shows. As an absence it would remove the file of an optional object.
 */
function rethrowAbsence(thrown: unknown, key: TransitKey, versions: readonly number[]): never {
  const error = BridgeError.from(thrown)
  if (!isAbsence(error) && error.code !== 'KEY_VERSION_UNKNOWN') throw error
  throw notExported(key, versions.at(-1) ?? key.latestVersion, error)
}

function notExported({ name }: TransitKey, version: number, cause?: BridgeError): BridgeError {
  const reason = cause === undefined ? '' : `: ${cause.message}`
  return new BridgeError(
    'KEY_VERSION_UNKNOWN',
    `Vault showed version ${String(version)} of transit key ${name}, but did not export it${reason}`,
    { cause },
  )
}

function requireExportable({ name, type, derived }: TransitKey): void {
  if (derived) {
    throw new BridgeError(
      'OBJECT_UNSUITABLE',
      `transit key ${name} is derived: Vault exports only its base key, which Transit does not use directly; use a key with derived=false`,
    )
  }
  if (!isExportable(type)) {
    throw new BridgeError(
      'OBJECT_UNSUITABLE',
      `transit key ${name} has type ${type}, whose export is not supported`,
    )
  }
}

/** The files of objects that want the same versions of a key. */
class MadeFiles {
  readonly contents = new Map<number, ContentFile[] | BridgeError>()
  readonly #objects: readonly ExportedKeyObject[]
  readonly #count: (bytes: number) => void

  constructor(objects: readonly ExportedKeyObject[], count: (bytes: number) => void) {
    this.#objects = objects
    this.#count = count
    for (const { index } of objects) this.contents.set(index, [])
  }

  /** Zeroes the material. */
  add(key: TransitKey, version: number, material: Secret<Buffer> | undefined): void {
    if (material === undefined) throw notExported(key, version)
    const bytes = decodeExportedKey(key.type, material)
    try {
      for (const object of this.#objects) this.#addTo(object, key, version, bytes)
    } finally {
      bytes.fill(0)
    }
  }

  #addTo(object: ExportedKeyObject, key: TransitKey, version: number, bytes: Buffer): void {
    const files = this.contents.get(object.index)
    if (files === undefined || files instanceof BridgeError) return
    try {
      files.push(makeFile(object, key, version, bytes))
    } catch (thrown) {
      zeroFiles(files)
      this.contents.set(object.index, BridgeError.from(thrown))
      return
    }
    this.#count(files.at(-1)?.contents.byteLength ?? 0)
  }
}

function makeFile(
  object: ExportedKeyObject,
  key: TransitKey,
  version: number,
  bytes: Buffer,
): ContentFile {
  return {
    path: placeVersion(object.path, object.version, version),
    mode: object.mode,
    version: isDated(key, version)
      ? datedVersion(object, key, version)
      : undatedVersion(object, version, bytes),
    contents: encodeContent(Buffer.from(bytes), object.encoding),
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
