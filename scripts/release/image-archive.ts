// An OCI image layout (https://github.com/opencontainers/image-spec/blob/main/image-layout.md) for both architectures.
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, VERSION } from '../distribution.ts'
import { compress, packTar, sourceDate } from './archive.ts'
import { ARCHITECTURES, type Platform } from './libraries.ts'
import { buildRootFilesystem } from './root-filesystem.ts'

const INDEX = 'application/vnd.oci.image.index.v1+json'
const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
const CONFIG = 'application/vnd.oci.image.config.v1+json'
const LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip'

interface Descriptor {
  readonly mediaType: string
  readonly digest: string
  readonly size: number
}

export interface Origin {
  readonly source: string
  readonly revision: string
}

/** Writes the image of all platforms into one archive, with the configuration that the Dockerfile has. */
export function buildImageArchive(
  file: string,
  work: string,
  platforms: readonly Platform[],
  origin: Origin,
): void {
  const layout = join(work, 'layout')
  mkdirSync(join(layout, 'blobs/sha256'), { recursive: true })
  const put = (mediaType: string, value: object): Descriptor =>
    putBlob(layout, mediaType, Buffer.from(JSON.stringify(value)))
  const labels = readLabels(origin)
  const manifests = platforms.map((platform) => {
    const { diffId, layer } = putLayer(layout, join(work, platform.arch), platform)
    const os = { architecture: ARCHITECTURES[platform.arch].debian, os: 'linux' }
    const created = new Date(Number(sourceDate()) * 1000).toISOString()
    const config = put(CONFIG, {
      created,
      ...os,
      config: { ...readConfiguration(), Labels: labels },
      rootfs: { type: 'layers', diff_ids: [diffId] },
      history: [{ created, created_by: 'scripts/release.ts' }],
    })
    const manifest = { schemaVersion: 2, mediaType: MANIFEST, config, layers: [layer] }
    return { ...put(MANIFEST, { ...manifest, annotations: labels }), platform: os }
  })
  const index = put(INDEX, { schemaVersion: 2, mediaType: INDEX, manifests })
  // The first annotation is the tag for skopeo and buildah, the second the name for containerd.
  const annotations = {
    'org.opencontainers.image.ref.name': VERSION,
    'io.containerd.image.name': `docker.io/library/transit-bridge:${VERSION}`,
  }
  writeJson(join(layout, 'index.json'), {
    schemaVersion: 2,
    mediaType: INDEX,
    manifests: [{ ...index, annotations }],
  })
  writeJson(join(layout, 'oci-layout'), { imageLayoutVersion: '1.0.0' })
  packTar(layout, '.', file)
}

function putLayer(
  layout: string,
  work: string,
  platform: Platform,
): { diffId: string; layer: Descriptor } {
  const root = join(work, 'root')
  buildRootFilesystem(root, platform)
  packTar(root, '.', join(work, 'layer.tar'))
  rmSync(root, { recursive: true })
  const diffId = `sha256:${sha256(readFileSync(join(work, 'layer.tar')))}`
  compress(join(work, 'layer.tar'), join(work, 'layer.tar.gz'))
  const content = readFileSync(join(work, 'layer.tar.gz'))
  const digest = sha256(content)
  renameSync(join(work, 'layer.tar.gz'), join(layout, 'blobs/sha256', digest))
  const layer = { mediaType: LAYER, digest: `sha256:${digest}`, size: content.length }
  return { diffId, layer }
}

function putBlob(layout: string, mediaType: string, content: Buffer): Descriptor {
  const digest = sha256(content)
  writeFileSync(join(layout, 'blobs/sha256', digest), content)
  return { mediaType, digest: `sha256:${digest}`, size: content.length }
}

/** The last stage of the Dockerfile, which is the one place where entry point, user and environment are written down. */
function readConfiguration(): object {
  const stage = lastStage()
  const find = (instruction: string): string => {
    const value = new RegExp(`^${instruction} (.+)$`, 'm').exec(stage)?.[1]
    if (value === undefined) throw new Error(`Dockerfile: the last stage has no ${instruction}`)
    return value
  }
  return {
    User: find('USER'),
    Env: [
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      ...find('ENV').split(' '),
    ],
    Entrypoint: JSON.parse(find('ENTRYPOINT')) as unknown,
  }
}

function readLabels({ source, revision }: Origin): Readonly<Record<string, string>> {
  const labels = [...lastStage().matchAll(/(org\.opencontainers\.[\w.]+)="([^"]*)"/g)]
  return Object.fromEntries(
    labels.map(([, name = '', value = '']) => [
      name,
      value.replace('${SOURCE}', source).replace('${REVISION}', revision),
    ]),
  )
}

function lastStage(): string {
  const dockerfile = readFileSync(join(ROOT, 'Dockerfile'), 'utf8')
  return dockerfile.slice(dockerfile.lastIndexOf('\nFROM '))
}

function writeJson(file: string, value: object): void {
  writeFileSync(file, JSON.stringify(value))
}

function sha256(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}
