import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { PROGRAM_FILES, ROOT, VERSION } from '../distribution.ts'
import { bundledPackages, partsOfNode } from './contents.ts'
import type { Library, Platform } from './libraries.ts'
import { packagesOf } from './licenses.ts'

/** SPDX expressions of the source packages; the texts are in `licenses`. */
const LIBRARY_LICENSES: readonly (readonly [RegExp, string])[] = [
  [/^glibc\b/, 'LGPL-2.1-or-later'],
  [/^gcc\b/, 'GPL-3.0-or-later WITH GCC-exception-3.1'],
]

/**
 * CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/) of what is shipped for one architecture: not of node_modules, of which
 * most never reaches the program.
 */
export function formatBillOfMaterials(platform: Platform, libraries: readonly Library[]): string {
  const ownName = `pkg:generic/transit-bridge@${VERSION}`
  const components = [
    ...bundledPackages().map(describePackage),
    describeNode(platform),
    ...packagesOf(libraries).map((each) => {
      const license = LIBRARY_LICENSES.find(([source]) => source.test(each.source))?.[1]
      const purl = `pkg:deb/debian/${each.name}@${encodeURIComponent(each.version)}?arch=${each.architecture}`
      return {
        type: 'library',
        'bom-ref': purl,
        name: each.name,
        version: each.version,
        ...(license === undefined ? {} : { licenses: [{ expression: license }] }),
        purl,
        properties: [{ name: 'transit-bridge:source-package', value: each.source }],
      }
    }),
    ...libraries.filter((each) => each.package === undefined).map(describeFile),
  ]
  const seconds = process.env['SOURCE_DATE_EPOCH']
  const bill = {
    bomFormat: 'CycloneDX',
    specVersion: '1.6',
    version: 1,
    metadata: {
      ...(seconds === undefined
        ? {}
        : { timestamp: new Date(Number(seconds) * 1000).toISOString() }),
      component: {
        type: 'application',
        'bom-ref': ownName,
        name: 'transit-bridge',
        version: VERSION,
        licenses: [{ expression: 'Apache-2.0' }],
        purl: ownName,
        components: PROGRAM_FILES.map((name) => ({
          type: 'file',
          'bom-ref': `${ownName}#dist/${name}`,
          name: `dist/${name}`,
          hashes: [{ alg: 'SHA-256', content: sha256(join(ROOT, 'dist', name)) }],
        })),
      },
    },
    components,
    dependencies: [{ ref: ownName, dependsOn: components.map((each) => each['bom-ref']) }],
  }
  return `${JSON.stringify(bill, undefined, 2)}\n`
}

function describePackage(each: ReturnType<typeof bundledPackages>[number]) {
  const purl = `pkg:npm/${each.name.replace('@', '%40')}@${each.version}`
  const digest = /^sha512-(.+)$/.exec(each.integrity)?.[1]
  return {
    type: 'library',
    'bom-ref': purl,
    name: each.name,
    version: each.version,
    licenses: [{ expression: each.license }],
    purl,
    ...(digest === undefined
      ? {}
      : { hashes: [{ alg: 'SHA-512', content: Buffer.from(digest, 'base64').toString('hex') }] }),
  }
}

function describeNode({ arch, node }: Platform) {
  const version = process.versions.node
  const purl = `pkg:npm/node-linux-${arch}@${version}`
  return {
    type: 'platform',
    'bom-ref': purl,
    name: 'node',
    version,
    licenses: [{ license: { name: 'MIT, and the licenses of its parts: licenses/node.txt' } }],
    purl,
    hashes: [{ alg: 'SHA-256', content: sha256(node) }],
    components: partsOfNode().map(([name, part]) => ({
      type: 'library',
      'bom-ref': `${purl}#${name}`,
      name,
      version: part,
    })),
  }
}

function describeFile({ path, file }: Library) {
  return {
    type: 'library',
    'bom-ref': `file:${path}`,
    name: basename(path),
    hashes: [{ alg: 'SHA-256', content: sha256(file) }],
  }
}

function sha256(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex')
}
