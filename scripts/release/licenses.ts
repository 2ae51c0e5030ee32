import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { bundledPackages } from './contents.ts'
import type { DebianPackage, Library } from './libraries.ts'

const APACHE = 'Apache-2.0'

/** Writes the license of everything that is shipped into a folder: bundled packages, Node.js with its parts, and libraries. */
export function writeLicenses(
  folder: string,
  node: string,
  libraries: readonly Library[],
  root: string,
): void {
  mkdirSync(join(folder, 'npm'), { recursive: true, mode: 0o755 })
  for (const { name, version, license, licenseFile } of bundledPackages()) {
    const file = join(folder, 'npm', `${name.replace('/', '+')}@${version}.txt`)
    if (licenseFile !== undefined) writeFileSync(file, readFileSync(licenseFile))
    // The text of this license is the same for every package, and the program's own.
    else if (license.includes(APACHE)) writeFileSync(file, `${license}: see ../../LICENSE\n`)
    else throw new Error(`${name} ${version} has no license file; its license is ${license}`)
  }
  const license = join(dirname(node), '../LICENSE')
  if (!existsSync(license)) throw new Error(`${license} is missing, the license of Node.js`)
  copyFileSync(license, join(folder, 'node.txt'))
  writeLibraryLicenses(folder, packagesOf(libraries), root)
}

/** The Debian packages of libraries, each once. */
export function packagesOf(libraries: readonly Library[]): readonly DebianPackage[] {
  const packages = libraries.flatMap((library) => library.package ?? [])
  return [...new Map(packages.map((each) => [each.name, each])).values()]
}

/** The libraries are under the LGPL and the GPL with an exception, so SOURCES says where their sources are. */
function writeLibraryLicenses(
  folder: string,
  packages: readonly DebianPackage[],
  root: string,
): void {
  mkdirSync(join(folder, 'debian'), { recursive: true, mode: 0o755 })
  const common = new Set<string>()
  for (const { name, source } of packages) {
    const names = [name, `${source}-base`].map((each) =>
      join(root, 'usr/share/doc', each, 'copyright'),
    )
    const file = names.find((each) => existsSync(each))
    if (file === undefined) continue
    const text = readFileSync(file, 'utf8')
    writeFileSync(join(folder, 'debian', `${name}.txt`), text)
    for (const [, license = ''] of text.matchAll(/common-licenses\/((?:L?GPL|GFDL)-[\d.]*\d)/g))
      common.add(license)
  }
  for (const name of common) {
    const file = join(root, 'usr/share/common-licenses', name)
    if (existsSync(file)) copyFileSync(file, join(folder, 'debian', `${name}.txt`))
  }
  const sources = packages.map(({ name, version, source }) => {
    const [, from = '', other = version] = /^(\S+)(?: \((.*)\))?$/.exec(source) ?? []
    return `${name} ${version}: https://snapshot.debian.org/package/${from}/${other}/\n`
  })
  writeFileSync(join(folder, 'debian/SOURCES'), sources.join(''))
}
