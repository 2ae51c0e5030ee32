import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../distribution.ts'
import { formatBillOfMaterials } from './bill-of-materials.ts'
import type { Library, Platform } from './libraries.ts'
import { writeLicenses } from './licenses.ts'

/** Copies the built program into a folder, with the licenses and the bill of materials of what is shipped with it. */
export function copyProgram(
  folder: string,
  platform: Platform,
  libraries: readonly Library[],
): void {
  const bundle = join(ROOT, 'dist/transit-bridge.cjs')
  if (!existsSync(bundle)) throw new Error('the program is not built: npm run build')
  mkdirSync(join(folder, 'dist'), { recursive: true, mode: 0o755 })
  cpSync(bundle, join(folder, 'dist/transit-bridge.cjs'))
  cpSync(join(ROOT, 'LICENSE'), join(folder, 'LICENSE'))
  writeLicenses(join(folder, 'licenses'), platform.node, libraries, platform.libraries)
  writeFileSync(join(folder, 'sbom.cdx.json'), formatBillOfMaterials(platform, libraries))
}
