import { chmodSync, cpSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { normalizeFiles } from './archive.ts'
import { librariesOf, type Platform } from './libraries.ts'
import { copyProgram } from './program.ts'

/** The content of the image. It depends only on the sources, Node.js and the libraries (docs/design.md, "Release"). */
export function buildRootFilesystem(folder: string, platform: Platform): void {
  if (existsSync(folder)) throw new Error(`${folder} exists; remove it or use another folder`)
  const at = (path: string) => join(folder, path)
  for (const path of ['usr/bin', 'etc', 'app', 'tmp', 'run', 'var'])
    mkdirSync(at(path), { recursive: true, mode: 0o755 })
  cpSync(platform.node, at('usr/bin/node'))
  const libraries = librariesOf(platform)
  for (const { path, file } of libraries) {
    mkdirSync(dirname(at(path)), { recursive: true, mode: 0o755 })
    cpSync(file, at(path))
  }
  copyProgram(at('app'), platform, libraries)
  writeFileSync(at('etc/passwd'), 'root:x:0:0:root:/:/none\nbridge:x:65532:65532::/:/none\n')
  writeFileSync(at('etc/group'), 'root:x:0:\nbridge:x:65532:\n')
  writeFileSync(at('etc/nsswitch.conf'), 'hosts: files dns\n')
  normalizeFiles(folder)
  chmodSync(at('tmp'), 0o1777)
}
