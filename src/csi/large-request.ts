import { BinaryReader, WireType } from '@bufbuild/protobuf/wire'
import { MountRequestSchema } from '../gen/csi/v1alpha1/service_pb.ts'
import { findVolumeOwner, type VolumeOwner } from './mount-request.ts'

const { attributes: ATTRIBUTES, targetPath: TARGET_PATH } = MountRequestSchema.field
/** The driver sends five fields, one of them repeated for each file. */
const MAX_FIELDS = 1_000
/**
 * How much of both ends is searched. The driver sorts the attributes by name: those of the pod come before the parameters of
 * the class, and secretProviderClass comes after them.
 */
const SEARCHED_BYTES = 64 * 1024
/** PATH_MAX of Linux. */
const LONGEST_PATH = 4096

/** The volume of a Mount that is too large to be decoded. */
export interface LargeRequest {
  readonly owner: VolumeOwner
  readonly targetPath: string
}

/** Finds the volume in an encoded message without decoding all of it. Undefined if the driver did not send the message. */
export function findLargeRequest(message: Uint8Array): LargeRequest | undefined {
  const fields = findFields(message)
  const attributes = fields?.get(ATTRIBUTES.number)
  const path = fields?.get(TARGET_PATH.number)
  if (attributes === undefined || path === undefined || path.length > LONGEST_PATH) return undefined
  const ends = [attributes.subarray(0, SEARCHED_BYTES), attributes.subarray(-SEARCHED_BYTES)]
  const owner = findVolumeOwner(ends.map((end) => Buffer.from(end).toString('latin1')).join('\n'))
  return owner && { owner, targetPath: Buffer.from(path).toString() }
}

/** The fields that contain texts or messages, by number. Undefined if these are not the bytes of a message. */
function findFields(message: Uint8Array): ReadonlyMap<number, Uint8Array> | undefined {
  const reader = new BinaryReader(message)
  const fields = new Map<number, Uint8Array>()
  try {
    for (let count = 0; reader.pos < reader.len && count < MAX_FIELDS; count += 1) {
      const [number, type] = reader.tag()
      if (type === WireType.LengthDelimited) fields.set(number, reader.bytes())
      else reader.skip(type, number)
    }
    return fields
  } catch {
    return undefined
  }
}
