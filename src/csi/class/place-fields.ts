import { MOUNT, MOUNT_FAULT, NAMESPACE, NAMESPACE_FAULT } from '../../config/schema/text.ts'
import { canonicalNamespace, type WantedPlace } from '../engine-place.ts'
import type { FieldReader, TextRule } from './object-fields.ts'

const LONGEST = 512

const MOUNT_PATH: TextRule = {
  pattern: { test: (text) => text.length <= LONGEST && MOUNT.test(text) },
  message: MOUNT_FAULT,
}
const VAULT_NAMESPACE: TextRule = {
  pattern: { test: (text) => text.length <= LONGEST && NAMESPACE.test(text) },
  message: NAMESPACE_FAULT,
}

/** Reads the fields `mount` and `vaultNamespace` of a class or an object. Fields that are absent are not in the result. */
export function readPlace(reader: FieldReader): WantedPlace {
  const mount = reader.has('mount') ? reader.text('mount', '', MOUNT_PATH) : undefined
  const namespace = reader.has('vaultNamespace')
    ? reader.text('vaultNamespace', '', VAULT_NAMESPACE)
    : undefined
  return {
    ...(mount === undefined ? {} : { mount }),
    ...(namespace === undefined ? {} : { vaultNamespace: canonicalNamespace(namespace) }),
  }
}
