/**
 * What `systemctl` does on the clean host, where no systemd runs: it reads the units that a page installed, and does what they
 * say, for the settings that decide whether a command works (user, sandbox and ordering are tested elsewhere).
 *
 * Usage: systemctl.ts STATE ARGUMENTS; STATE is a folder for logs and process ids.
 */
import { spawn, spawnSync } from 'node:child_process'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'

const [state = '', ...given] = process.argv.slice(2)
appendFileSync(join(state, 'systemctl.log'), `${given.join(' ')}\n`)
/** They belong to the host, and the test restarts them. */
const SERVERS = /^(k3s|rke2-server|kube-apiserver)(\.service)?$/
const [verb = '', ...names] = given.filter((word) => !word.startsWith('--'))

function control(name: string): void {
  const file = join('/etc/systemd/system', name.includes('.') ? name : `${name}.service`)
  if (!existsSync(file)) throw new Error(`Unit ${name} could not be found`)
  const unit = new Unit(readFileSync(file, 'utf8'))
  const place = join(state, basename(file, '.service'))
  if (name.endsWith('.timer')) {
    const service = file.replace(/timer$/, 'service')
    if (!existsSync(service)) throw new Error(`${name} has no ${service}`)
    return
  }
  if (verb === 'enable' && !given.includes('--now')) return
  if (verb !== 'start' && verb !== 'enable') stop(place)
  if (verb !== 'stop' && verb !== 'disable') unit.start(place)
}

/** Ends what the unit started, and waits until it is gone. */
function stop(place: string): void {
  const pid = readFileSync(`${place}.pid`, 'utf8')
  spawnSync('sh', ['-c', `kill ${pid}; timeout 20 tail --pid=${pid} -f /dev/null`])
  rmSync(`${place}.pid`)
}

class Unit {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  start(place: string): void {
    process.umask(Number.parseInt(this.#get('UMask') ?? '022', 8))
    const runtime = this.#get('RuntimeDirectory')
    if (runtime !== undefined) mkdirSync(join('/run', runtime), { recursive: true, mode: 0o700 })
    const [command = '', ...args] = wordsOf(this.#get('ExecStart') ?? '')
    const variables = this.#all('Environment').flatMap(wordsOf)
    const pairs = variables.map((text) => text.split(/=(.*)/s).slice(0, 2) as [string, string])
    const set = Object.fromEntries(pairs)
    // kubectl and k3s of the test are on the PATH of the administrator.
    const env = { ...set, PATH: `${process.env['PATH'] ?? ''}:${set['PATH'] ?? ''}` }
    if (this.#get('Type') === 'oneshot') {
      const { status } = spawnSync(command, args, { env, stdio: 'inherit' })
      if (status !== 0) process.exit(1)
      return
    }
    const output = openSync(`${place}.log`, 'a')
    const child = spawn(command, args, { env, detached: true, stdio: ['ignore', output, output] })
    writeFileSync(`${place}.pid`, String(child.pid))
    child.unref()
  }

  #get(name: string): string | undefined {
    return this.#all(name).at(-1)
  }

  #all(name: string): string[] {
    return [...this.#text.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(
      ([, value = '']) => value,
    )
  }
}

/** systemd.syntax(7), for what the units contain: words in quotes, $$ and %%. */
function wordsOf(line: string): string[] {
  const words = line.match(/'[^']*'|"(?:[^"\\]|\\.)*"|\S+/g) ?? []
  return words.map((word) =>
    word
      .replaceAll(/^(['"])(.*)\1$/gs, '$2')
      .replaceAll('$$', () => '$')
      .replaceAll('%%', '%'),
  )
}

for (const name of names) if (!SERVERS.test(name)) control(name)
