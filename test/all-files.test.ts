import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

const source = join(import.meta.dirname, '..', 'src')

// Coverage knows only files that were loaded: one that no test imports would count as if it were not there.
void test('every source file can be loaded alone, and none does anything when it is', async (t) => {
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' })
  for (const file of files.filter((name) => name.endsWith('.ts'))) {
    await t.resolves(import(join(source, file)), file)
  }
})
