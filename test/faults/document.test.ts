import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { generateReliabilityDocument } from '../../scripts/generate-reliability-docs.ts'

const FILE = join(import.meta.dirname, '../../docs/reliability.md')

void test('docs/reliability.md shows the fault matrix that the tests check', async (t) => {
  t.equal(await generateReliabilityDocument(), readFileSync(FILE, 'utf8'), 'run npm run generate')
})
