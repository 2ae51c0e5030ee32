import { normalize, resolve } from 'node:path'

import { formatPath, type Path } from '../yaml/fault.ts'
import type { LocatedFault } from './issues.ts'
import { readAt } from './shape.ts'

/** The plugin replaces this file, and creates a socket beside it (kms/local/file-claim.ts). */
const SEALED_FILE: Path = ['kms', 'localKeys', 'sealedFile']

/**
 * Returns a fault if the plugin would replace a file that the configuration names for something else, such as the token file,
 * or the configuration itself.
 */
export function findOverwritten(value: unknown, file: string): readonly LocatedFault[] {
  const path = readAt(value, SEALED_FILE)
  if (typeof path !== 'string') return []
  const written = [normalize(path), `${normalize(path)}.sock`]
  const isWritten = (other: string) => written.includes(normalize(other))
  const other = isWritten(resolve(file))
    ? 'the file of this configuration'
    : findText(value, (text, at) => formatPath(at) !== formatPath(SEALED_FILE) && isWritten(text))
  if (other === undefined) return []
  const message = `would replace ${other}`
  return [{ path: formatPath(SEALED_FILE), at: SEALED_FILE, message, hint: 'use a separate file' }]
}

/** The path of the first text that satisfies a condition. */
function findText(
  value: unknown,
  condition: (text: string, at: Path) => boolean,
  at: Path = [],
): string | undefined {
  if (typeof value === 'string') return condition(value, at) ? formatPath(at) : undefined
  if (typeof value !== 'object' || value === null) return undefined
  for (const [key, part] of Object.entries(value)) {
    const found = findText(part, condition, [...at, Array.isArray(value) ? Number(key) : key])
    if (found !== undefined) return found
  }
  return undefined
}
