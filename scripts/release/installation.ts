// What is installed on a host: the same tree in the tarball (in /opt/transit-bridge) and in the packages (in
// /usr/lib/transit-bridge).
import { chmodSync, cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { renderSystemdUnit } from '../../src/node/files/systemd.ts'
import { ROOT } from '../distribution.ts'
import { writeManual } from '../manual.ts'
import { normalizeFiles } from './archive.ts'
import { renderInstallPage } from './install-page.ts'
import { librariesOf, type Platform } from './libraries.ts'
import { copyProgram } from './program.ts'

/** Every host has the others: glibc, and libstdc++ and libgcc, of which Node.js needs versions of 2015. */
const SHIPPED_LIBRARY = 'libatomic.so.1'
const CONFIG = `# /etc/transit-bridge/config.yaml; every key is in docs/configuration.md
vault:
  address: https://vault.example.com:8200
  caFile: /etc/transit-bridge/vault-ca.pem
  auth:
    method: jwt
    role: transit-bridge-kms
    tokenFile: /etc/transit-bridge/token
    audience: vault
transit:
  key: k8s-etcd
kms:
  socket: /run/transit-bridge/kms.sock
  clusterId: prod-eu-1 # never change it: it is part of what is stored
`

/** They renew the plugin's token; docs/operations/systemd.md shows them. */
export const TOKEN_UNITS = ['transit-bridge-token.service', 'transit-bridge-token.timer'] as const

/** Fills a folder with the program for hosts; `program` is the path at which the unit starts it. */
export async function stageInstallation(
  folder: string,
  platform: Platform,
  program: string,
): Promise<void> {
  for (const name of ['bin', 'lib', 'node_modules/.bin'])
    mkdirSync(join(folder, name), { recursive: true, mode: 0o755 })
  cpSync(join(ROOT, 'bin/transit-bridge'), join(folder, 'bin/transit-bridge'))
  // The launcher looks for Node.js here first.
  cpSync(platform.node, join(folder, 'node_modules/.bin/node'))
  chmodSync(join(folder, 'node_modules/.bin/node'), 0o755)
  const shipped = librariesOf(platform).filter(({ path }) => basename(path) === SHIPPED_LIBRARY)
  for (const { path, file } of shipped) cpSync(file, join(folder, 'lib', basename(path)))
  copyProgram(folder, platform, shipped)
  cpSync(join(ROOT, 'vault-policies'), join(folder, 'vault-policies'), { recursive: true })
  const page = readFileSync(join(ROOT, 'docs/operations/systemd.md'), 'utf8')
  writeFileSync(join(folder, 'INSTALL.md'), renderInstallPage(page))
  writeFileSync(join(folder, 'config.example.yaml'), CONFIG)
  writeFileSync(join(folder, 'transit-bridge-kms.service'), unit(program))
  await writeManual(join(folder, 'man/man1'))
  for (const name of TOKEN_UNITS) cpSync(join(ROOT, 'packaging', name), join(folder, name))
  normalizeFiles(folder)
}

function unit(program: string): string {
  return renderSystemdUnit({
    configFile: '/etc/transit-bridge/config.yaml',
    socket: '/run/transit-bridge/kms.sock',
    files: ['/etc/transit-bridge/token', '/etc/transit-bridge/vault-ca.pem'],
    // Also without kms.localKeys: the folder costs nothing, and the sealed file can be enabled later.
    sealedFile: '/var/lib/transit-bridge/local-keys',
    admin: undefined,
    image: '',
    program,
  })
}
