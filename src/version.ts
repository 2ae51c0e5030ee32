import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Put in by scripts/build.ts; in a checkout there is no such name. */
declare const TRANSIT_BRIDGE_VERSION: string | undefined

/** The version in package.json, as it was when the program was built. */
export const version: string =
  typeof TRANSIT_BRIDGE_VERSION === 'string' ? TRANSIT_BRIDGE_VERSION : readCheckoutVersion()

function readCheckoutVersion(): string {
  const text = readFileSync(join(import.meta.dirname, '../package.json'), 'utf8')
  return (JSON.parse(text) as { readonly version: string }).version
}
