// docs/threat-model.md: each claim names a test that exists, in the file that it links to.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

import { ROOT } from '../commands/program.ts'

const page = readFileSync(join(ROOT, 'docs/threat-model.md'), 'utf8')
const LINK = /\[([^\]]+)\]\(\.\.\/(test\/[^)]+)\)/g

for (const [, title = '', file = ''] of page.matchAll(LINK)) {
  void test(`the threat model names a test: ${title}`, (t) => {
    t.ok(existsSync(join(ROOT, file)), file)
    const text = readFileSync(join(ROOT, file), 'utf8').replaceAll(/test\(\s+/g, 'test(')
    t.ok(text.includes(`test('${title}'`), file)
    t.end()
  })
}

void test('every row says what someone cannot do, and most name a test', (t) => {
  const rows = page.split('\n').filter((line) => /^\| (?!-|someone|attempt)/.test(line))
  t.ok(rows.length > 25)
  const shown = rows.filter((row) => row.includes('](../test/'))
  t.ok(shown.length > 0.8 * rows.length, `${String(shown.length)} of ${String(rows.length)}`)
  t.end()
})
