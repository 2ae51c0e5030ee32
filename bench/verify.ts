// Time, memory and load of `verify` over many Secrets: node bench/verify.ts [NUMBER], by default 100,000.
//
// etcd, OpenBao and the built program are real. The Secrets are written into etcd as kube-apiserver would, under three
// versions of the key and twenty seeds each.
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { request } from 'undici'
import { stringify } from 'yaml'
import type { Report } from '../src/cluster/report.ts'
import { encodeAssociatedData, makeAnnotations } from '../src/kms/annotations.ts'
import { makeKeyId } from '../src/kms/key-id.ts'
import { buildProgram, PROGRAM } from '../test/commands/program.ts'
import { Etcd } from '../test/real/etcd.ts'
import { KEY, KmsWorld } from '../test/real/kms-world.ts'
import { tempFolder } from '../test/real/temp-folder.ts'
import { rotateKey } from '../test/real/transit-setup.ts'
import { kmsV2Value, sealBySeed } from '../test/verify/envelopes.ts'
import { putAll, saveSnapshot } from '../test/verify/snapshot-of.ts'
import { printTable, type Row } from './table.ts'

const SECRETS = Number(process.argv[2] ?? 100_000)
const SEEDS_OF_VERSION = 20
const VERSIONS = 3
const MOST_MEMORY = 150
const PLAINTEXT = `k8s\0${'v'.repeat(900)}`

interface SeedInUse {
  readonly seed: Buffer
  readonly ciphertext: string
  readonly keyId: string
}

interface Run {
  readonly seconds: number
  readonly memory: number
  readonly etcdSeconds: number
  readonly report: Report
}

buildProgram()
const [world, etcd] = await Promise.all([KmsWorld.start({ audit: false }), Etcd.start()])
try {
  const config = writeConfig()
  await fill(await makeSeeds())
  const snapshot = await saveSnapshot(etcd)
  const live = ['--endpoints', etcd.address]
  const deep = ['--deep', '--config', config]
  const runs: readonly (readonly [what: string, args: readonly string[]])[] = [
    ['live, at the default rate', live],
    ['live, as fast as it goes', [...live, '--rate', '1000000']],
    ['live, --deep', [...live, '--rate', '1000000', ...deep]],
    ['live, --deep --objects', [...live, '--rate', '1000000', ...deep, '--objects']],
    ['snapshot', ['--snapshot', snapshot]],
    ['snapshot, --deep --objects', ['--snapshot', snapshot, ...deep, '--objects']],
  ]
  const rows: Row[] = []
  for (const [what, args] of runs) rows.push(...rowsOf(what, await run(args)))
  printTable(rows)
  if (rows.some(({ ok }) => ok === false)) process.exitCode = 1
} finally {
  await Promise.all([world.stop(), etcd.stop()])
}

function writeConfig(): string {
  const file = join(tempFolder('bench'), 'config.yaml')
  const { vault } = world.configuration()
  const document = { vault, transit: { key: KEY }, kms: { clusterId: 'bench' } }
  writeFileSync(file, stringify(document))
  return file
}

async function makeSeeds(): Promise<readonly SeedInUse[]> {
  for (let version = 2; version <= VERSIONS; version += 1) await rotateKey(world.bao, KEY)
  const { data } = await world.bao.api('GET', `transit/keys/${KEY}`)
  const associated_data = encodeAssociatedData(makeAnnotations('bench')).toString('base64')
  const seeds: SeedInUse[] = []
  for (let at = 0; at < VERSIONS * SEEDS_OF_VERSION; at += 1) {
    const keyVersion = 1 + (at % VERSIONS)
    const seed = randomBytes(32)
    const answer = await world.bao.api('POST', `transit/encrypt/${KEY}`, {
      plaintext: seed.toString('base64'),
      associated_data,
      key_version: keyVersion,
    })
    const createdAt = Number(data.keys[String(keyVersion)])
    const keyId = makeKeyId({ clusterId: 'bench', keyName: KEY, keyVersion, createdAt })
    seeds.push({ seed, ciphertext: String(answer.data.ciphertext), keyId })
  }
  return seeds
}

async function fill(seeds: readonly SeedInUse[]): Promise<void> {
  const chunk = 1_000
  for (let start = 0; start < SECRETS; start += chunk) {
    const count = Math.min(chunk, SECRETS - start)
    const entries = Array.from({ length: count }, (_, at) => {
      const key = `/registry/secrets/bench/secret-${String(start + at).padStart(7, '0')}`
      return [key, sealedValue(key, seeds[(start + at) % seeds.length])] as const
    })
    await putAll(etcd, entries)
  }
}

function sealedValue(key: string, use: SeedInUse | undefined): Buffer {
  if (use === undefined) throw new Error('there is no seed')
  return kmsV2Value({
    keyId: use.keyId,
    source: Buffer.from(use.ciphertext),
    annotations: { ...makeAnnotations('bench') },
    data: sealBySeed(use.seed, key, PLAINTEXT),
  })
}

async function run(args: readonly string[]): Promise<Run> {
  const etcdBefore = await readEtcdTime()
  const startedAt = performance.now()
  const child = spawn(PROGRAM, ['verify', ...args, '--json'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  let memory = 0
  let isOver = false
  void ended.then(() => (isOver = true))
  // The kernel keeps the peak; it is asked until the process is gone.
  while (!isOver) {
    memory = Math.max(memory, await readPeakMemory(child.pid ?? 0).catch(() => 0))
    await sleep(20)
  }
  const code = await ended
  const report = JSON.parse(output) as Report
  if (code !== 0 || report.objects !== SECRETS) throw new Error(`verify ended with ${String(code)}`)
  return {
    seconds: (performance.now() - startedAt) / 1000,
    memory,
    etcdSeconds: (await readEtcdTime()) - etcdBefore,
    report,
  }
}

/** Most resident memory that a process ever had, in MiB (proc(5): VmHWM). */
async function readPeakMemory(pid: number): Promise<number> {
  const status = await readFile(`/proc/${String(pid)}/status`, 'utf8')
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) / 1024
}

/** Processor time of etcd in seconds, as it tells it itself. */
async function readEtcdTime(): Promise<number> {
  const answer = await request(`${etcd.address}/metrics`)
  const text = await answer.body.text()
  return Number(/^process_cpu_seconds_total (\S+)$/m.exec(text)?.[1])
}

function rowsOf(what: string, { seconds, memory, etcdSeconds, report }: Run): readonly Row[] {
  const rate = Math.round(SECRETS / seconds).toLocaleString('en')
  return [
    {
      what: `${what}: ${SECRETS.toLocaleString('en')} Secrets, ${String(report.seeds)} seeds`,
      value: `${seconds.toFixed(1)} s, ${rate}/s`,
    },
    { what: '  processor time of etcd', value: `${etcdSeconds.toFixed(1)} s` },
    {
      what: '  peak memory',
      value: `${memory.toFixed(0)} MiB`,
      floor: `< ${String(MOST_MEMORY)} MiB`,
      ok: memory < MOST_MEMORY,
    },
  ]
}
