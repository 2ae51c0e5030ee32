import { cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PROGRAM_FILES, ROOT } from '../distribution.ts'
import { formatBillOfMaterials } from './bill-of-materials.ts'
import type { Library, Platform } from './libraries.ts'
import { writeLicenses } from './licenses.ts'

/** Copies the built program into a folder, with the licenses and the bill of materials of what is shipped with it. */
export function copyProgram(
  folder: string,
  platform: Platform,
  libraries: readonly Library[],
): void {
  mkdirSync(join(folder, 'dist'), { recursive: true, mode: 0o755 })
  for (const name of PROGRAM_FILES) {
    const file = join(ROOT, 'dist', name)
    if (!existsSync(file)) throw new Error('the program is not built: npm run build')
    cpSync(file, join(folder, 'dist', name))
  }
  cpSync(join(ROOT, 'LICENSE'), join(folder, 'LICENSE'))
  writeLicenses(join(folder, 'licenses'), platform.node, libraries, platform.libraries)
  writeFileSync(join(folder, 'sbom.cdx.json'), formatBillOfMaterials(platform, libraries))
}
