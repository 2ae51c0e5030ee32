// The shared libraries that Node.js needs, and the Debian packages that they come from.
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { readNeeds } from './elf.ts'

/** The architectures of the release: Node.js's name, and those of Debian (and Go) and of GNU. */
export const ARCHITECTURES = {
  x64: { debian: 'amd64', gnu: 'x86_64-linux-gnu', rpm: 'x86_64' },
  arm64: { debian: 'arm64', gnu: 'aarch64-linux-gnu', rpm: 'aarch64' },
} as const
export type Architecture = keyof typeof ARCHITECTURES

/** What is shipped beside the program. */
export interface Platform {
  readonly arch: Architecture
  /** The Node.js binary, inside its npm package. */
  readonly node: string
  /** The root of a system of that architecture whose libraries are copied. */
  readonly libraries: string
}

export interface DebianPackage {
  readonly name: string
  readonly version: string
  readonly architecture: string
  /** The source package, and its version if it is another one. */
  readonly source: string
}

export interface Library {
  /** Where the loader looks for it. */
  readonly path: string
  /** Where it is on this machine. */
  readonly file: string
  /** Undefined if the system is not Debian's. */
  readonly package: DebianPackage | undefined
}

/** Finds all libraries that a program loads, with the loader itself, in the system under `root`. */
export function librariesOf({
  node: program,
  libraries: root,
  arch,
}: Platform): readonly Library[] {
  const found = new Map<string, Library>()
  const packages = readPackages(root)
  const resolve = (path: string) => resolveInside(root, path) ?? resolveInside(root, `/usr${path}`)
  const add = (path: string): void => {
    if (found.has(path)) return
    const file = resolve(path)
    if (file === undefined)
      throw new Error(`${join(root, path)} is missing, which ${program} needs`)
    found.set(path, { path, file, package: packages.get(basename(file)) })
    addAll(file)
  }
  const addAll = (file: string): void => {
    const { loader, libraries } = readNeeds(file)
    if (loader !== undefined) add(loader)
    for (const name of libraries) if (![...found.keys()].some(isNamed(name))) add(find(name))
  }
  const { gnu } = ARCHITECTURES[arch]
  // Each of them is also a link to the folder of the same name in /usr, or has one beside it.
  const folders = [`/lib/${gnu}`, '/lib64', '/lib']
  const find = (name: string): string => {
    const path = folders.map((each) => join(each, name)).find((each) => resolve(each) !== undefined)
    if (path === undefined)
      throw new Error(`${name} is not installed in ${root}; ${basename(program)} needs it`)
    return path
  }
  addAll(program)
  return [...found.values()].toSorted((a, b) => (a.path < b.path ? -1 : 1))
}

function isNamed(name: string): (path: string) => boolean {
  return (path) => basename(path) === name
}

/** Follows symbolic links as inside a chroot. */
function resolveInside(root: string, path: string): string | undefined {
  let resolved = root
  for (const part of path.split('/').filter((each) => each !== '')) {
    const next = join(resolved, part)
    if (lstatSync(next, { throwIfNoEntry: false })?.isSymbolicLink() !== true) {
      resolved = next
      continue
    }
    const target = readlinkSync(next)
    const inside = target.startsWith('/') ? target : join(dirname(next).slice(root.length), target)
    const followed = resolveInside(root, inside)
    if (followed === undefined) return undefined
    resolved = followed
  }
  return existsSync(resolved) ? realpathSync(resolved) : undefined
}

/** The package of each library, by file name, as dpkg's database has it. */
function readPackages(root: string): ReadonlyMap<string, DebianPackage> {
  const database = join(root, 'var/lib/dpkg')
  const packages = new Map<string, DebianPackage>()
  if (!existsSync(join(database, 'status'))) return packages
  const installed = readFileSync(join(database, 'status'), 'utf8').split('\n\n').map(parsePackage)
  const lists = readdirSync(join(database, 'info')).filter((name) => name.endsWith('.list'))
  for (const each of installed) {
    const names = [`${each.name}.list`, `${each.name}:${each.architecture}.list`]
    for (const list of names.filter((name) => lists.includes(name)))
      for (const file of readFileSync(join(database, 'info', list), 'utf8').split('\n'))
        if (file.includes('.so')) packages.set(basename(file), each)
  }
  return packages
}

function parsePackage(control: string): DebianPackage {
  const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(control)?.[1] ?? ''
  const name = field('Package')
  return {
    name,
    version: field('Version'),
    architecture: field('Architecture'),
    source: field('Source') || name,
  }
}
