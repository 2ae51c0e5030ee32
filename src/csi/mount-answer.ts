import { create } from '@bufbuild/protobuf'
import {
  FileSchema,
  ObjectVersionSchema,
  type File,
  type ObjectVersion,
} from '../gen/csi/v1alpha1/service_pb.ts'
import type { ContentFile } from './volume/content.ts'

/** The funnel zeroes the contents once they are encoded. */
export function fileOf({ path, mode, contents }: ContentFile): File {
  return create(FileSchema, { path, mode, contents })
}

/** A path is in a volume once, so it serves as the id. */
export function objectVersionOf({ path, version }: ContentFile): ObjectVersion {
  return create(ObjectVersionSchema, { id: path, version })
}
