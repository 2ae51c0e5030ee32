import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createReadStream, mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { IMAGE_ENTRYPOINT } from '../../../scripts/distribution.ts'
import { tempFolder } from '../host/temp-folder.ts'

const ROOT = join(import.meta.dirname, '../../..')

export const IMAGE = { repository: 'test.local/transit-bridge', tag: '0.0.0' }
export const PAUSE_IMAGE = 'test.local/pause:0'

/**
 * Builds the image of the program by the script that releases it, as an archive that a container runtime imports,
 * without a Docker engine. The same layer serves as the pause image.
 */
export async function buildImageArchive(): Promise<string> {
  const folder = tempFolder('image')
  const root = join(folder, 'root')
  const bare = ['-i', `PATH=${process.env['PATH'] ?? ''}`]
  const script = join(ROOT, 'scripts/build-rootfs.ts')
  execFileSync('env', [...bare, process.execPath, script, root], { stdio: 'ignore' })
  const layer = join(folder, 'layer.tar')
  execFileSync('tar', ['-C', root, '--numeric-owner', '-cf', layer, '.'])
  const hash = createHash('sha256')
  await pipeline(createReadStream(layer), hash)
  const digest = hash.digest('hex')
  const archive = join(folder, 'archive')
  mkdirSync(join(archive, digest), { recursive: true })
  renameSync(layer, join(archive, digest, 'layer.tar'))
  const put = (name: string, entrypoint: string[], tag: string) => {
    writeFileSync(join(archive, name), JSON.stringify(configuration(digest, entrypoint)))
    return { Config: name, RepoTags: [tag], Layers: [`${digest}/layer.tar`] }
  }
  const manifest = [
    put('program.json', [...IMAGE_ENTRYPOINT], `${IMAGE.repository}:${IMAGE.tag}`),
    put('pause.json', ['/usr/bin/node', '-e', 'setInterval(() => undefined, 1e8)'], PAUSE_IMAGE),
  ]
  writeFileSync(join(archive, 'manifest.json'), JSON.stringify(manifest))
  const file = join(folder, 'image.tar')
  execFileSync('tar', ['-C', archive, '-cf', file, '.'])
  return file
}

function configuration(digest: string, entrypoint: string[]): object {
  return {
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    os: 'linux',
    config: {
      Entrypoint: entrypoint,
      Env: ['NODE_COMPILE_CACHE=/app/dist/compile-cache'],
      User: '65532:65532',
    },
    rootfs: { type: 'layers', diff_ids: [`sha256:${digest}`] },
  }
}
