// Checks what the program depends on: known vulnerabilities and the signatures of the registry (npm audit), and that the lock
// file pins each package by its hash. The exit code is 0 only if all of it was checked and is clean: 1 for a finding, 2 if the
// registry does not answer.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

import { findLockFaults, readAudit, type Verdict } from './release/dependencies.ts'

const ROOT = join(import.meta.dirname, '..')

/** What npm prints; it exits with 1 for a finding as well as for an error. By default, it asks three times, for a minute or more. */
function npm(...args: readonly string[]): string {
  try {
    return execFileSync('npm', [...args, '--fetch-retries=0', '--fetch-timeout=30000'], {
      cwd: ROOT,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
  } catch (error) {
    const { stdout, stderr } = error as { readonly stdout?: string; readonly stderr?: string }
    return stdout === undefined || stdout.trim() === '' ? (stderr ?? String(error)) : stdout
  }
}

const faults = findLockFaults(JSON.parse(readFileSync(join(ROOT, 'package-lock.json'), 'utf8')))
const lock: Verdict =
  faults.length === 0
    ? { kind: 'clean', text: 'every package has a SHA-512 hash and no fixed address' }
    : { kind: 'finding', text: faults.join('\n') }
const verdicts = {
  'package-lock.json': lock,
  'npm audit --omit=dev': readAudit(npm('audit', '--omit=dev', '--json'), 'vulnerabilities'),
  'npm audit signatures': readAudit(npm('audit', 'signatures', '--json'), 'signatures'),
}
for (const [name, { kind, text }] of Object.entries(verdicts))
  process.stdout.write(`${kind === 'clean' ? 'ok' : kind.toUpperCase()}: ${name}: ${text}\n`)
const kinds = Object.values(verdicts).map(({ kind }) => kind)
process.exitCode = kinds.includes('finding') ? 1 : kinds.includes('not checked') ? 2 : 0
