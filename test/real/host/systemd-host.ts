import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Program } from '../program/program.ts'
import { eventually } from './eventually.ts'
import { quietly, unpackDebian } from './debian.ts'

const CGROUPS = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup']
const PATH = '/usr/sbin:/usr/bin:/sbin:/bin'

/** A minimal Debian with systemd as process 1, in separate namespaces; the network is this machine's. Needs root. */
export class SystemdHost {
  readonly root: string
  #init: Program | undefined
  #cgroup: string | undefined

  private constructor(root: string) {
    this.root = root
  }

  /** Installs systemd, and boots nothing yet. */
  static async create(): Promise<SystemdHost> {
    const root = await unpackDebian()
    const packages = ['systemd', 'systemd-sysv']
    await quietly('chroot', [
      root,
      'apt-get',
      'install',
      '-qq',
      '--no-install-recommends',
      ...packages,
    ])
    return new SystemdHost(root)
  }

  async boot(): Promise<void> {
    const parent = CGROUPS.find((each) => existsSync(join(each, 'cgroup.procs')))
    if (parent === undefined) throw new Error('systemd needs the second version of cgroups')
    this.#cgroup = join(parent, `transit-bridge-test-${String(process.pid)}`)
    const script = join(import.meta.dirname, 'systemd-boot.sh')
    this.#init = Program.start({
      name: 'systemd',
      command: 'sh',
      args: [script, this.root, this.#cgroup],
      folder: dirname(this.root),
      env: { PATH: `${process.env['PATH'] ?? ''}:${PATH}` },
    })
    await this.#init.waitUntil('systemd to be running', () => {
      const inside = this.#processOne()
      if (inside === undefined) return false
      return this.run('systemctl', 'is-system-running').stdout.trim() === 'running'
    })
  }

  /** Runs a program on the host: before the boot in a chroot, then beside systemd. */
  run(command: string, ...args: string[]) {
    const pid = this.#processOne()
    const inside = ['-t', String(pid), '-m', '-p', '-C', '-u', `--root=/proc/${String(pid)}/root`]
    const [enter, place] =
      pid === undefined ? ['chroot', [this.root]] : ['nsenter', [...inside, '--wd=/']]
    const options = { encoding: 'utf8', env: { PATH, HOME: '/root' } } as const
    return spawnSync(enter, [...place, command, ...args], options)
  }

  /** As run; returns the output, and throws with it if the program fails. */
  must(command: string, ...args: string[]): string {
    const { status, stdout, stderr } = this.run(command, ...args)
    if (status === 0) return stdout
    const log = this.#init?.tail() ?? ''
    throw new Error(`${[command, ...args].join(' ')}: ${String(status)}\n${stdout}${stderr}${log}`)
  }

  async stop(): Promise<void> {
    await this.#init?.kill()
    const cgroup = this.#cgroup
    if (cgroup === undefined) return
    await eventually('the processes of the host to end', () => removeCgroup(cgroup))
  }

  /** The first process of the namespace: the child of unshare, which has become systemd. */
  #processOne(): number | undefined {
    const pid = this.#init?.pid
    if (pid === undefined) return undefined
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
    const child = children.split(' ')[0] ?? ''
    if (child === '') return undefined
    return readFileSync(`/proc/${child}/comm`, 'utf8').trim() === 'systemd'
      ? Number(child)
      : undefined
  }
}

function removeCgroup(folder: string): boolean {
  try {
    for (const entry of readdirSync(folder, { withFileTypes: true }))
      if (entry.isDirectory()) removeCgroup(join(folder, entry.name))
    rmdirSync(folder)
  } catch {
    return !existsSync(folder)
  }
  return true
}
