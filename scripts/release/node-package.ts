import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { pinnedNode, ROOT } from '../distribution.ts'
import type { Architecture } from './libraries.ts'

/** The Node.js binary of an architecture: the installed one, or npm's package with the digest of package-lock.json. */
export function obtainNode(arch: Architecture, work: string): string {
  if (arch === process.arch) return pinnedNode()
  const name = `node-linux-${arch}`
  const { packages } = JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')) as {
    readonly packages: Record<string, { readonly version: string; readonly integrity: string }>
  }
  const pinned = packages[`node_modules/${name}`]
  if (pinned === undefined) throw new Error(`package-lock.json does not pin ${name}`)
  mkdirSync(work, { recursive: true })
  const request = `${name}@${pinned.version}`
  execFileSync('npm', ['pack', '--silent', '--pack-destination', work, request], {
    cwd: ROOT,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const file = join(work, `${name}-${pinned.version}.tgz`)
  const digest = createHash('sha512').update(readFileSync(file)).digest('base64')
  if (`sha512-${digest}` !== pinned.integrity)
    throw new Error(`${request} is not the package that package-lock.json pins`)
  execFileSync('tar', ['-xzf', file, '-C', work, '--no-same-owner'])
  return join(work, 'package/bin/node')
}
