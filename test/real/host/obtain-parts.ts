/**
 * Gets the programs that tests run, before any test has to wait for one:
 * `node test/real/host/obtain-parts.ts bao etcd kube-apiserver`. Without arguments it names them.
 */
import { obtain, partNames } from './parts.ts'
import type { Part } from './parts.ts'

const wanted = process.argv.slice(2)
const unknown = wanted.filter((name) => !partNames.includes(name as Part))
if (wanted.length === 0 || unknown.length > 0) {
  if (unknown.length > 0) process.stderr.write(`unknown: ${unknown.join(', ')}\n`)
  process.stderr.write(`usage: obtain-parts.ts PART...   (${partNames.join(', ')})\n`)
  process.exit(2)
}
try {
  for (const name of wanted) process.stdout.write(`${await obtain(name as Part)}\n`)
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
  process.exit(1)
}
