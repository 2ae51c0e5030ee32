// What is actually in the program: the packages that esbuild bundled, and the parts of Node.js.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT } from '../distribution.ts'

export interface BundledPackage {
  readonly name: string
  readonly version: string
  readonly license: string
  /** Its license file; undefined if the package has none. */
  readonly licenseFile: string | undefined
  /** The digest of package-lock.json. */
  readonly integrity: string
}

/** The packages with at least one byte in the bundle, as esbuild's metafile reports them. */
export function bundledPackages(): readonly BundledPackage[] {
  const metafile = join(ROOT, 'dist/transit-bridge.meta.json')
  const { outputs } = readJson(metafile) as {
    readonly outputs: Record<string, { inputs: Record<string, { bytesInOutput: number }> }>
  }
  const { packages } = readJson(join(ROOT, 'package-lock.json')) as {
    readonly packages: Record<string, { readonly integrity?: string } | undefined>
  }
  const files = Object.values(outputs).flatMap(({ inputs }) => Object.entries(inputs))
  const used = files.filter(([, { bytesInOutput }]) => bytesInOutput > 0).map(([file]) => file)
  const folders = new Set(used.flatMap((file) => packageFolder(file) ?? []))
  return [...folders].toSorted().map((folder) => {
    const manifest = readJson(join(ROOT, folder, 'package.json')) as Record<string, string>
    const { name = '', version = '', license = '' } = manifest
    if (!license) throw new Error(`${folder}/package.json names no license`)
    const integrity = packages[folder]?.integrity ?? ''
    return { name, version, license, licenseFile: findLicense(folder), integrity }
  })
}

/** Libraries inside the Node.js binary, with their versions. The release is made by the Node.js that it contains. */
export function partsOfNode(): readonly (readonly [name: string, version: string])[] {
  const numbers = new Set(['node', 'modules', 'napi', 'unicode', 'cldr'])
  return Object.entries(process.versions).flatMap(([name, version]) =>
    version === undefined || numbers.has(name) ? [] : [[name, version] as const],
  )
}

function packageFolder(file: string): string | undefined {
  return /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(file)?.[0]
}

function findLicense(folder: string): string | undefined {
  const names = readdirSync(join(ROOT, folder)).toSorted()
  const name = names.find((each) => /^(?:licen[cs]e|copying)/i.test(each))
  return name === undefined ? undefined : join(ROOT, folder, name)
}

function readJson(file: string): unknown {
  if (!existsSync(file)) throw new Error(`${file} is missing: npm run build`)
  return JSON.parse(readFileSync(file, 'utf8'))
}
