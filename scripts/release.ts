// Builds a release without a registry: image, tarballs, packages, chart, bills of materials and checksums. The same sources
// produce the same bytes (docs/operations/release.md).
//
// usage: release.ts FOLDER    FOLDER must not exist. Environment: SOURCE_DATE_EPOCH, REVISION and SOURCE replace what git reports.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { obtain } from '../test/real/host/parts.ts'
import { ROOT, VERSION } from './distribution.ts'
import { formatBillOfMaterials } from './release/bill-of-materials.ts'
import { packageChart } from './release/chart.ts'
import { unpackLibraries } from './release/debian-libraries.ts'
import { buildImageArchive } from './release/image-archive.ts'
import { librariesOf, type Architecture, type Platform } from './release/libraries.ts'
import { obtainNode } from './release/node-package.ts'
import { buildPackages } from './release/packages.ts'
import { buildTarball } from './release/tarball.ts'

const BUILT_FOR = ['x64', 'arm64'] as const satisfies readonly Architecture[]

function git(...args: string[]): string {
  return execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).trim()
}

function readRevision(): string {
  const changed = git('status', '--porcelain') !== ''
  return `${git('rev-parse', 'HEAD')}${changed ? '-modified' : ''}`
}

function preparePlatform(work: string, arch: Architecture): Platform {
  const libraries = join(work, 'libraries')
  const download = join(work, 'download')
  mkdirSync(download, { recursive: true })
  unpackLibraries(libraries, download, arch)
  return { arch, node: obtainNode(arch, join(work, 'node')), libraries }
}

async function release(target: string, work: string): Promise<void> {
  const origin = {
    source: process.env['SOURCE'] ?? '',
    revision: process.env['REVISION'] ?? readRevision(),
  }
  process.env['SOURCE_DATE_EPOCH'] ??= git('log', '-1', '--format=%ct')
  const [nfpm, helm] = [await obtain('nfpm'), await obtain('helm')]
  const platforms = BUILT_FOR.map((arch) => preparePlatform(join(work, arch), arch))
  mkdirSync(target, { recursive: true })
  for (const platform of platforms) {
    await buildTarball(target, platform)
    const folder = join(work, platform.arch, 'packages')
    mkdirSync(folder)
    await buildPackages(target, folder, platform, nfpm)
    const bill = formatBillOfMaterials(platform, librariesOf(platform))
    writeFileSync(
      join(target, `transit-bridge-${VERSION}-linux-${platform.arch}.sbom.cdx.json`),
      bill,
    )
  }
  const image = join(target, `transit-bridge-${VERSION}-image.oci.tar`)
  buildImageArchive(image, join(work, 'image'), platforms, origin)
  packageChart(target, join(work, 'chart'), helm)
  writeFileSync(join(target, 'SHA256SUMS'), checksums(target))
}

function checksums(folder: string): string {
  const names = readdirSync(folder).toSorted()
  const digest = (name: string) =>
    createHash('sha256')
      .update(readFileSync(join(folder, name)))
      .digest('hex')
  return names.map((name) => `${digest(name)}  ${name}\n`).join('')
}

const [folder, ...more] = process.argv.slice(2)
if (folder === undefined || more.length > 0) {
  process.stderr.write('usage: npm run release -- FOLDER\n')
  process.exitCode = 2
} else if (existsSync(folder)) {
  process.stderr.write(`${folder} exists; remove it or use another folder\n`)
  process.exitCode = 1
} else {
  process.umask(0o022)
  const work = mkdtempSync(join(tmpdir(), 'transit-bridge-release-'))
  try {
    await release(resolve(folder), work)
    process.stdout.write(readFileSync(join(folder, 'SHA256SUMS')))
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}
