import { pinnedNode } from '../distribution.ts'
import type { Platform } from './libraries.ts'

/** What is built for this machine, with its own libraries. */
export function machine(): Platform {
  const { arch } = process
  if (arch !== 'x64' && arch !== 'arm64') throw new Error(`neither x64 nor arm64, but ${arch}`)
  return { arch, node: pinnedNode(), libraries: '/' }
}
