// docs/operations/proof.md: every row names a test that exists, and a message that the program has.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { ROOT } from './program.ts'

const [head = [], , ...rows] = readFileSync(join(ROOT, 'docs/operations/proof.md'), 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('|'))
  .map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  )

/** All of the source, with the joined or wrapped strings of a message put together. */
const source = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => readFileSync(join(ROOT, 'src', name), 'utf8'))
  .join('\n')

const quotedIn = (cell: string) => [...cell.matchAll(/`([^`]+)`/g)].map(([, text = '']) => text)

void test('the table of what is not proved has columns and rows', (t) => {
  t.same(head, ['command', 'what it cannot prove', 'what it says', 'exit', 'unless', 'test'])
  t.ok(rows.length > 30)
  t.end()
})

for (const [commands = '', gap = '', message = '', exit = '', unless = '', where = ''] of rows) {
  void test(`${commands} cannot prove: ${gap}`, (t) => {
    t.match(exit, /^[012]$/)
    for (const command of quotedIn(commands)) {
      const name = command.replace(/ --.*/, '')
      t.ok(source.includes(`name: '${name}'`), `the command ${name}`)
    }
    for (const option of quotedIn(unless)) {
      const name = option
        .replace('--', '')
        .replaceAll(/-(\w)/g, (_all, next: string) => next.toUpperCase())
      t.ok(new RegExp(`\\b${name}\\b`).test(source), `the option ${option}`)
    }
    const [said = ''] = quotedIn(message)
    for (const part of said
      .split('…')
      .map((each) => each.trim())
      .filter((each) => each !== ''))
      t.ok(source.includes(part), `the program says "${part}"`)
    const [file = ''] = quotedIn(where)
    const path = join(ROOT, 'test', file)
    t.ok(existsSync(path), file)
    const title = where.slice(where.indexOf('`: ') + 3)
    const tests = readFileSync(path, 'utf8').replaceAll(/test\(\s+/g, 'test(')
    t.ok(title !== '' && tests.includes(`test('${title}'`), title)
    t.end()
  })
}
