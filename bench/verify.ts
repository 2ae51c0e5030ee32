// Time, memory and load of `verify` over many Secrets: node bench/verify.ts [NUMBER]; default: 100,000.
//
// etcd, OpenBao and the built program are real. The Secrets are written to etcd in kube-apiserver's format, under three
// key versions with twenty seeds each.
import { request } from 'undici'
import type { Report } from '../src/verify/report.ts'
import { buildProgram } from '../test/commands/program.ts'
import { Etcd } from '../test/real/cluster/etcd.ts'
import { KEY, KmsVault } from '../test/real/vault/kms-vault.ts'
import { rotateKey } from '../test/real/vault/transit-setup.ts'
import { KUBE_SYSTEM } from '../test/verify/envelopes.ts'
import { runMeasured } from '../test/verify/measured-run.ts'
import {
  makeSeeds,
  sealedValue,
  writeConfig,
  type SeedInUse,
} from '../test/verify/sealed-values.ts'
import { putAll, saveSnapshot } from '../test/verify/snapshot-of.ts'
import { printTable, type Row } from './table.ts'

const SECRETS = Number(process.argv[2] ?? 100_000)
const SEEDS_OF_VERSION = 20
const VERSIONS = 3
const MAX_MEMORY_MIB = 150
const PLAINTEXT = `k8s\0${'v'.repeat(900)}`

interface Run {
  readonly seconds: number
  readonly memory: number
  readonly etcdSeconds: number
  readonly report: Report
}

buildProgram()
const [vault, etcd] = await Promise.all([KmsVault.start({ audit: false }), Etcd.start()])
try {
  const config = writeConfig(vault)
  for (let version = 2; version <= VERSIONS; version += 1) await rotateKey(vault.bao, KEY)
  await fill(await makeSeeds(vault, VERSIONS * SEEDS_OF_VERSION))
  const snapshot = await saveSnapshot(etcd)
  const live = ['--endpoints', etcd.address]
  const deep = ['--deep', '--config', config]
  const runs: readonly (readonly [what: string, args: readonly string[]])[] = [
    ['live, at the default rate', live],
    ['live, without a rate limit', [...live, '--rate', '1000000']],
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
  await Promise.all([vault.stop(), etcd.stop()])
}

async function fill(seeds: readonly SeedInUse[]): Promise<void> {
  const chunk = 1_000
  await putAll(etcd, [KUBE_SYSTEM])
  for (let start = 0; start < SECRETS; start += chunk) {
    const count = Math.min(chunk, SECRETS - start)
    const entries = Array.from({ length: count }, (_, at) => {
      const key = `/registry/secrets/bench/secret-${String(start + at).padStart(7, '0')}`
      return [key, sealedValue(key, PLAINTEXT, seeds[(start + at) % seeds.length])] as const
    })
    await putAll(etcd, entries)
  }
}

async function run(args: readonly string[]): Promise<Run> {
  const before = await readEtcdTime()
  const { code, stdout, stderr, seconds, memory } = await runMeasured([...args, '--json'])
  const etcdSeconds = (await readEtcdTime()) - before
  const report = code === 0 ? (JSON.parse(stdout) as Report) : undefined
  // And the namespace.
  if (report?.objects !== SECRETS + 1)
    throw new Error(`verify exited with code ${String(code)}: ${stderr}`)
  return { seconds, memory, etcdSeconds, report }
}

/** CPU time of etcd in seconds, from its own metrics. */
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
    { what: '  CPU time of etcd', value: `${etcdSeconds.toFixed(1)} s` },
    {
      what: '  peak memory',
      value: `${memory.toFixed(0)} MiB`,
      target: `< ${String(MAX_MEMORY_MIB)} MiB`,
      ok: memory < MAX_MEMORY_MIB,
    },
  ]
}
