import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { join, relative } from 'node:path'
import { ROOT } from '../../commands/program.ts'
import { cached, cacheFolder } from '../host/cache.ts'
import { imageBuilder, quietly } from '../host/debian.ts'
import { withLock } from '../host/folder-lock.ts'
import { tempFolder } from '../host/temp-folder.ts'

export const IMAGE = { repository: 'test.local/transit-bridge', tag: '0.0.0' }
export const PAUSE_IMAGE = 'test.local/pause:0'
/** The labels that a user of the Dockerfile sets. */
export const BUILD_ARGUMENTS = {
  SOURCE: 'https://git.example.com/transit-bridge',
  REVISION: 'a'.repeat(40),
}
const NAME = `${IMAGE.repository}:${IMAGE.tag}`
const DAY_MS = 86_400_000

/**
 * Builds the image with the Dockerfile, as an archive that a container runtime imports, without a Docker engine. The same
 * layer serves as the pause image. An image of the same sources is not built again.
 */
export async function buildImageArchive(): Promise<string> {
  const folder = await cached(
    `image-${hashOf([...buildContext(), relative(ROOT, import.meta.filename)])}`,
    (unfinished) =>
      withLock(join(cacheFolder(), 'image-build.lock'), async () => {
        process.stderr.write('image: the Dockerfile is built; about a minute\n')
        removeOldImages()
        await build(join(unfinished, 'program.tar'))
        addPauseImage(join(unfinished, 'program.tar'), join(unfinished, 'image.tar'))
      }),
  )
  return join(folder, 'image.tar')
}

/** The installed packages stay in buildah's storage for the next build; everything else is removed. */
async function build(archive: string): Promise<void> {
  const storage = join(cacheFolder(), 'buildah')
  const at = ['--root', storage, '--runroot', join(storage, 'run')]
  const buildah = (...args: string[]) => quietly('buildah', [...at, ...args])
  // A build that was interrupted leaves its containers, and their images cannot be removed.
  await buildah('rm', '--all')
  const builder = `builder:${hashOf(['package-lock.json', 'test/real/host/debian.ts'])}`
  const images = await buildah('images', '--format', '{{.Name}}:{{.Tag}}')
  const present = images.includes(`/${builder}\n`)
  const bud = ['bud', '--layers', '--isolation', 'chroot']
  if (!present) {
    const containerfile = join(tempFolder('containerfile'), 'Containerfile')
    writeFileSync(containerfile, 'FROM scratch\nCOPY . /\n')
    await buildah('rmi', '--all', '--force')
    await buildah(...bud, '--file', containerfile, '--tag', builder, await imageBuilder())
  }
  const npm = join(homedir(), '.npm')
  mkdirSync(npm, { recursive: true })
  const builderArgument = [
    '--build-arg',
    `BUILDER=localhost/${builder}`,
    '--volume',
    `${npm}:/root/.npm`,
  ]
  const labels = Object.entries(BUILD_ARGUMENTS).flatMap((each) => ['--build-arg', each.join('=')])
  await buildah(
    ...bud,
    ...builderArgument,
    '--target',
    'dependencies',
    '--tag',
    'dependencies',
    ROOT,
  )
  await buildah(...bud, ...builderArgument, ...labels, '--tag', NAME, ROOT)
  await buildah('push', '--quiet', NAME, `docker-archive:${archive}:${NAME}`)
  await buildah('rmi', NAME)
  await buildah('rmi', '--prune')
}

interface ManifestEntry {
  readonly Config: string
  readonly RepoTags: readonly string[]
  readonly Layers: readonly string[]
}

function addPauseImage(program: string, file: string): void {
  const folder = join(tempFolder('image'), 'archive')
  mkdirSync(folder)
  execFileSync('tar', ['-xf', program, '-C', folder])
  const read = (name: string): unknown => JSON.parse(readFileSync(join(folder, name), 'utf8'))
  const [image] = read('manifest.json') as [ManifestEntry]
  const configuration = read(image.Config) as { config: object }
  const Entrypoint = ['/usr/bin/node', '-e', 'setInterval(() => undefined, 1e8)']
  const pause = { ...configuration, config: { Entrypoint } }
  writeFileSync(join(folder, 'pause.json'), JSON.stringify(pause))
  const manifest = [image, { ...image, Config: 'pause.json', RepoTags: [PAUSE_IMAGE] }]
  writeFileSync(join(folder, 'manifest.json'), JSON.stringify(manifest))
  execFileSync('tar', ['-C', folder, '-cf', file, '.'])
}

/** The files that the Dockerfile can copy: those that .dockerignore does not exclude. */
function buildContext(): readonly string[] {
  const lines = readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n')
  const names = lines.filter((line) => line.startsWith('!')).map((line) => line.slice(1))
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--', ...names]
  const files = execFileSync('git', list, { cwd: ROOT, encoding: 'utf8' }).split('\0')
  const present = files.filter((name) => name !== '' && existsSync(join(ROOT, name)))
  return ['.dockerignore', 'Dockerfile', ...present]
}

function hashOf(files: readonly string[]): string {
  const hash = createHash('sha256')
  for (const name of files.toSorted()) hash.update(name).update(readFileSync(join(ROOT, name)))
  return hash.digest('hex').slice(0, 12)
}

function removeOldImages(): void {
  for (const name of readdirSync(cacheFolder()).filter((each) => /^image-\w{12}$/.test(each))) {
    const folder = join(cacheFolder(), name)
    if (Date.now() - statSync(folder).mtimeMs > DAY_MS) rmSync(folder, { recursive: true })
  }
}
