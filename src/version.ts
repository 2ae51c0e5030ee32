import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Defined by scripts/build.ts; undefined in a checkout. */
declare const TRANSIT_BRIDGE_VERSION: string | undefined

/** The version in package.json at build time. */
export const version: string =
  typeof TRANSIT_BRIDGE_VERSION === 'string' ? TRANSIT_BRIDGE_VERSION : readCheckoutVersion()

function readCheckoutVersion(): string {
  const text = readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')
  return (JSON.parse(text) as { readonly version: string }).version
}
