import { spawn } from 'node:child_process'
import { createWriteStream, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Writable } from 'node:stream'

import type { AuditSummary } from '../src/audit/audit.ts'
import { buildProgram, PROGRAM } from '../test/commands/program.ts'
import { auditLine, callLine, KEY } from '../test/audit/lines.ts'

/**
 * Runs `audit` over generated files of this many lines, compares every count with what was generated, and prints time and peak
 * memory. Usage: node bench/audit.ts [LINES]
 */
const LINES = Number(process.argv[2] ?? 1_000_000)
/** A Decrypt is one line of a plugin and two of Vault. */
const USES = Math.floor(LINES / 3)
/** One in so many uses is by an unknown caller, or has a copied uid. */
const FOREIGN_EVERY = 1_009
const COPIED_EVERY = 2_003
const NODES = 3

interface Truth {
  readonly own: number[]
  foreign: number
  copied: number
}

const folder = mkdtempSync(join(tmpdir(), 'transit-bridge-audit-'))
try {
  buildProgram()
  const files = ['audit.log', ...Array.from({ length: NODES }, (_, n) => `node-${String(n)}.log`)]
  const truth = await generate(files.map((name) => join(folder, name)))
  const { summary, seconds, peakMebibytes } = await audit(files)
  compare(summary, truth)
  const bytes = files.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
  process.stdout.write(
    `${String(LINES)} lines, ${(bytes / 2 ** 20).toFixed(0)} MiB: ${seconds.toFixed(1)} s, ` +
      `peak memory ${peakMebibytes.toFixed(0)} MiB; all counts are correct\n`,
  )
} finally {
  rmSync(folder, { recursive: true, force: true })
}

async function generate(paths: readonly string[]): Promise<Truth> {
  const [log, ...nodes] = paths.map((path) => createWriteStream(path, { highWaterMark: 2 ** 20 }))
  if (log === undefined) throw new Error('no files')
  const truth: Truth = { own: Array.from({ length: NODES }, () => 0), foreign: 0, copied: 0 }
  for (let index = 0; index < USES; index += 1) {
    const uid = uidOf(index)
    const node = index % NODES
    const file = nodes[node]
    if (index % FOREIGN_EVERY === 0) {
      truth.foreign += 1
      await writeUse(log, { id: String(index), address: '192.0.2.1' })
      continue
    }
    truth.own[node] = (truth.own[node] ?? 0) + 1
    if (file !== undefined) await write(file, callLine(uid))
    await writeUse(log, { id: String(index), uid })
    if (index % COPIED_EVERY !== 0) continue
    truth.copied += 1
    await writeUse(log, { id: `copy-${String(index)}`, uid, address: '192.0.2.2' })
  }
  for (const stream of [log, ...nodes]) {
    stream.end()
    await once(stream, 'finish')
  }
  return truth
}

async function writeUse(stream: Writable, options: Parameters<typeof auditLine>[1]): Promise<void> {
  await write(stream, auditLine('request', options))
  await write(stream, auditLine('response', options))
}

async function write(stream: Writable, line: object): Promise<void> {
  if (!stream.write(`${JSON.stringify(line)}\n`)) await once(stream, 'drain')
}

/** Their order is unrelated to the order of the lines, as with real uids. */
function uidOf(index: number): string {
  const text = (BigInt(index) * 0x9e3779b97f4a7c15n) & 0xffffffffffffffffn
  return `${text.toString(16).padStart(16, '0')}-0000-4000-8000-${String(index).padStart(12, '0')}`
}

async function audit(files: readonly string[]) {
  const start = performance.now()
  const child = spawn(PROGRAM, ['audit', ...files, '--key', KEY, '--json'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let peakMebibytes = 0
  const timer = setInterval(() => {
    peakMebibytes = Math.max(peakMebibytes, readPeak(child.pid ?? 0))
  }, 200)
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (part: string) => (text += part))
  await once(child, 'close')
  clearInterval(timer)
  const seconds = (performance.now() - start) / 1000
  return { summary: JSON.parse(text) as AuditSummary, seconds, peakMebibytes }
}

/** The peak memory of the process so far. */
function readPeak(pid: number): number {
  try {
    const found = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))
    return Number(found?.[1] ?? 0) / 1024
  } catch {
    return 0
  }
}

function compare(summary: AuditSummary, truth: Truth): void {
  const count = (from: string) =>
    summary.uses.filter((use) => use.from === from).reduce((sum, use) => sum + use.count, 0)
  const found = {
    own: truth.own.map((_, node) => count(`node-${String(node)}.log`)),
    foreign: count('unknown caller') - truth.copied,
    copied: summary.suspiciousCount - truth.foreign,
  }
  if (JSON.stringify(found) !== JSON.stringify(truth))
    throw new Error(`counted ${JSON.stringify(found)} instead of ${JSON.stringify(truth)}`)
}
