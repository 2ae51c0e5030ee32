import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { VERSION } from '../distribution.ts'
import { compress, packTar } from './archive.ts'
import { stageInstallation } from './installation.ts'
import type { Platform } from './libraries.ts'

/** Writes the tarball into a folder and returns its path. */
export async function buildTarball(target: string, platform: Platform): Promise<string> {
  const parent = mkdtempSync(join(tmpdir(), 'transit-bridge-'))
  const file = join(target, `transit-bridge-${VERSION}-linux-${platform.arch}.tar.gz`)
  const program = '/opt/transit-bridge/bin/transit-bridge'
  try {
    await stageInstallation(join(parent, 'transit-bridge'), platform, program)
    mkdirSync(target, { recursive: true })
    packTar(parent, 'transit-bridge', join(parent, 'archive.tar'))
    compress(join(parent, 'archive.tar'), file)
    return file
  } finally {
    rmSync(parent, { recursive: true, force: true })
  }
}
