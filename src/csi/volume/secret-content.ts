import { setImmediate } from 'node:timers/promises'
import type { CallContext } from '../../call-context.ts'
import { BridgeError } from '../../errors.ts'
import type { Transit } from '../../transit/transit.ts'
import { fingerprint, type ContentFile } from './content.ts'
import { decodeContent, encodeContent } from './encoding.ts'
import type { CiphertextObject } from '../class/object-types.ts'
import { selectPart } from './value-part.ts'

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
