import { create } from '@bufbuild/protobuf'
import {
  FileSchema,
  ObjectVersionSchema,
  type File,
  type ObjectVersion,
} from '../gen/csi/v1alpha1/service_pb.ts'
import type { ContentFile } from './volume/content.ts'

/** The funnel zeroes `contents` after encoding the response. */
export function fileOf({ path, mode, contents }: ContentFile): File {
  return create(FileSchema, { path, mode, contents })
}

/** Paths are unique in a volume, so the path is the id. */
export function objectVersionOf({ path, version }: ContentFile): ObjectVersion {
  return create(ObjectVersionSchema, { id: path, version })
}
