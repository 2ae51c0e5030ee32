// Time and memory of `verify --snapshot` with a file of more than 2 GB: node bench/large-snapshot.ts [GIB]; default: 2.1.
//
// A real etcd is filled with Secrets in kube-apiserver's format, and its own etcdctl saves the snapshot. It takes minutes and
// three times the size of the file on disk, so it is not part of CI.
import { execFileSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { credentials } from '@grpc/grpc-js'
import type { Report } from '../src/verify/report.ts'
import { buildProgram } from '../test/commands/program.ts'
import { Etcd } from '../test/real/cluster/etcd.ts'
import { EtcdWriter } from '../test/real/cluster/etcd-writer.ts'
import { obtain } from '../test/real/host/parts.ts'
import { tempFolder } from '../test/real/host/temp-folder.ts'
import { kmsV2Value, KUBE_SYSTEM } from '../test/verify/envelopes.ts'
import { runMeasured } from '../test/verify/measured-run.ts'
import { printTable } from './table.ts'

const GIB = 1024 ** 3
const SIZE = Number(process.argv[2] ?? 2.1) * GIB
/** Secrets of different sizes: most are small, and most of the bytes are in large ones. */
const SMALL_BYTES = 900
const LARGE_BYTES = 400_000
const SMALL_OF_ONE_LARGE = 20
const CONCURRENT = 40
const MAX_MEMORY_MIB = 200

buildProgram()
const etcd = await Etcd.start({ extraArgs: [`--quota-backend-bytes=${String(8 * GIB)}`] })
try {
  const secrets = await fill()
  const file = join(tempFolder('large-snapshot'), 'backup.db')
  const save = [`--endpoints=${etcd.address}`, 'snapshot', 'save', file]
  execFileSync(await obtain('etcdctl'), save, { stdio: 'ignore' })
  const { size } = statSync(file)
  const run = await runMeasured(['--snapshot', file, '--json'])
  const report = JSON.parse(run.stdout) as Report
  if (!report.ok || report.objects !== secrets + 1) throw new Error(`wrong report: ${run.stdout}`)
  const isLarge = size > 2 * 1000 ** 3
  printTable([
    {
      what: 'size of the etcd snapshot',
      value: `${(size / GIB).toFixed(2)} GiB`,
      target: '> 2 GB',
      ok: isLarge,
    },
    { what: 'Secrets', value: secrets.toLocaleString('en') },
    { what: 'time', value: `${run.seconds.toFixed(1)} s` },
    {
      what: 'peak memory',
      value: `${run.memory.toFixed(0)} MiB`,
      target: `< ${String(MAX_MEMORY_MIB)} MiB`,
      ok: run.memory < MAX_MEMORY_MIB,
    },
  ])
  if (!isLarge || run.memory >= MAX_MEMORY_MIB) process.exitCode = 1
} finally {
  await etcd.stop()
}

/** Returns the number of Secrets. */
async function fill(): Promise<number> {
  const writer = new EtcdWriter(etcd.address.replace('http://', ''), credentials.createInsecure())
  const small = kmsV2Value({ data: Buffer.alloc(SMALL_BYTES, 1) })
  const large = kmsV2Value({ data: Buffer.alloc(LARGE_BYTES, 1) })
  await writer.put(...KUBE_SYSTEM)
  let secrets = 0
  const writeNext = async (bytesLeft: () => boolean) => {
    while (bytesLeft()) {
      const number = secrets
      secrets += 1
      const key = `/registry/secrets/bench/secret-${String(number).padStart(7, '0')}`
      const value = number % (SMALL_OF_ONE_LARGE + 1) === 0 ? large : small
      written += value.length
      await writer.put(key, value)
    }
  }
  let written = 0
  await Promise.all(Array.from({ length: CONCURRENT }, () => writeNext(() => written < SIZE)))
  writer.close()
  return secrets
}
