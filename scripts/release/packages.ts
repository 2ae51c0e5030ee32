// The .deb and .rpm packages: the tree of the tarball in /usr/lib/transit-bridge, and what systemd reads.
import { execFileSync } from 'node:child_process'
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ROOT, VERSION } from '../distribution.ts'
import { sourceDate } from './archive.ts'
import { stageInstallation, TOKEN_UNITS } from './installation.ts'
import { ARCHITECTURES, type Platform } from './libraries.ts'

const HOME = '/usr/lib/transit-bridge'
const UNITS = ['transit-bridge-kms.service', ...TOKEN_UNITS]
/** docs/design.md, "Release": what Node.js needs and the package does not include. */
const NEEDS = {
  deb: ['libc6 (>= 2.28)', 'libstdc++6 (>= 5)', 'libgcc-s1 | libgcc1'],
  rpm: [
    'libc.so.6(GLIBC_2.28)(64bit)',
    'libstdc++.so.6(GLIBCXX_3.4.21)(64bit)',
    'libgcc_s.so.1()(64bit)',
  ],
} as const

/** Writes both packages of a platform into a folder; `nfpm` is the program that packs them. */
export async function buildPackages(
  target: string,
  work: string,
  platform: Platform,
  nfpm: string,
): Promise<void> {
  const tree = join(work, 'tree')
  await stageInstallation(tree, platform, '/usr/bin/transit-bridge')
  const system = join(work, 'system')
  mkdirSync(system)
  for (const name of [...UNITS, 'man', 'INSTALL.md', 'config.example.yaml'])
    renameSync(join(tree, name), join(system, name))
  const architecture = ARCHITECTURES[platform.arch]
  for (const format of ['deb', 'rpm'] as const) {
    const file = join(work, `nfpm-${format}.json`)
    writeFileSync(file, JSON.stringify(describe(format, architecture.debian, tree, system)))
    const name =
      format === 'deb'
        ? `transit-bridge_${VERSION}-1_${architecture.debian}.deb`
        : `transit-bridge-${VERSION}-1.${architecture.rpm}.rpm`
    const args = ['package', '--config', file, '--packager', format, '--target', join(target, name)]
    const env = { ...process.env, SOURCE_DATE_EPOCH: sourceDate() }
    execFileSync(nfpm, args, { cwd: work, env, stdio: ['ignore', 'ignore', 'inherit'] })
  }
}

function describe(format: 'deb' | 'rpm', arch: string, tree: string, system: string): object {
  const script = (name: string) => join(ROOT, 'packaging', name)
  const doc = '/usr/share/doc/transit-bridge'
  return {
    name: 'transit-bridge',
    arch,
    platform: 'linux',
    version: VERSION,
    release: '1',
    section: 'admin',
    maintainer: 'The transit-bridge maintainers <maintainers@transit-bridge.invalid>',
    description:
      'Vault or OpenBao Transit as the KMS of a Kubernetes cluster\nKMS v2 plugin of kube-apiserver, and the commands to set up, verify and rotate.',
    license: 'Apache-2.0',
    mtime: new Date(Number(sourceDate()) * 1000).toISOString(),
    depends: NEEDS[format],
    rpm: { buildhost: 'localhost', group: 'System Environment/Daemons' },
    scripts: {
      postinstall: script('after-install.sh'),
      preremove: script('before-remove.sh'),
      postremove: script('after-remove.sh'),
    },
    contents: [
      { type: 'tree', src: tree, dst: HOME },
      { type: 'symlink', src: `${HOME}/bin/transit-bridge`, dst: '/usr/bin/transit-bridge' },
      { type: 'tree', src: join(system, 'man'), dst: '/usr/share/man' },
      { src: join(tree, 'LICENSE'), dst: `${doc}/copyright` },
      ...['INSTALL.md', 'config.example.yaml'].map((name) => ({
        src: join(system, name),
        dst: `${doc}/${name}`,
      })),
      ...UNITS.map((name) => ({ src: join(system, name), dst: `/usr/lib/systemd/system/${name}` })),
      { src: script('tmpfiles.conf'), dst: '/usr/lib/tmpfiles.d/transit-bridge.conf' },
      { type: 'dir', dst: '/etc/transit-bridge', file_info: { mode: 0o700 } },
    ],
  }
}
