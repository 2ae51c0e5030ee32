import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

import { writeManual } from '../../scripts/manual.ts'
import { isGroup, loadAll } from '../../src/commands/cli/command-table.ts'
import { optionName } from '../../src/commands/cli/option.ts'
import { COMMANDS } from '../../src/commands/table.ts'

/** A page as a terminal shows it, without the marks for bold and underlined text. */
function show(file: string): string {
  const { stdout, stderr } = spawnSync('groff', ['-man', '-Tascii', '-P-c', '-ww', file], {
    encoding: 'utf8',
  })
  if (stderr !== '') throw new Error(stderr)
  return stdout.replaceAll(/.[\b]/g, '')
}

void test('each command has a manual page with all its options, which groff formats without a warning', async (t) => {
  const folder = t.testdir()
  await writeManual(folder)
  const commands = await loadAll(COMMANDS)
  for (const { name, options } of commands) {
    const page = show(join(folder, `transit-bridge-${name.replaceAll(' ', '-')}.1`))
    t.match(page, /^NAME$/m, name)
    t.ok(page.includes(`transit-bridge ${name}`), name)
    for (const key of Object.keys(options)) t.ok(page.includes(`--${optionName(key)}`), key)
  }
  t.equal(readdirSync(folder).length, commands.length + 1)
})

void test('the page of the program lists every command', async (t) => {
  const folder = t.testdir()
  await writeManual(folder)
  const page = show(join(folder, 'transit-bridge.1'))
  const names = Object.entries(COMMANDS).flatMap(([name, entry]) =>
    isGroup(entry) ? Object.keys(entry.commands).map((inner) => `${name} ${inner}`) : [name],
  )
  for (const name of names)
    t.match(
      page,
      new RegExp(`^ +${name}\\b[\\s\\S]*?transit-bridge-${name.replaceAll(' ', '-')}\\(1\\)`, 'm'),
      name,
    )
})

void test('lines that would mean something to roff are shown as they are', async (t) => {
  const folder = t.testdir()
  await writeManual(folder)
  const page = show(join(folder, 'transit-bridge-completion.1'))
  t.ok(page.includes('transit-bridge completion zsh > "${fpath[1]}/_transit-bridge"'))
  t.ok(page.includes('> ~/.config/fish/completions/transit-bridge.fish'))
})
