// INSTALL.md of the tarball and the packages.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

import { renderInstallPage } from '../../scripts/release/install-page.ts'
import { ROOT } from '../commands/program.ts'

void test('the page for a host has no link to a page that is not there, and each path that it names exists', (t) => {
  const source = readFileSync(join(ROOT, 'docs/operations/systemd.md'), 'utf8')
  const page = renderInstallPage(source)
  t.notMatch(page, /\]\(/)
  t.notMatch(page, '<!--')
  t.match(page, 'follow docs/operations/k3s.md instead')
  t.match(page, 'Install a package (docs/operations/release.md)')
  const paths = [...page.matchAll(/\b(?:docs|test)\/[\w./-]+\w/g)].map(([path]) => path)
  t.ok(paths.length > 5)
  for (const path of paths) t.ok(existsSync(join(ROOT, path)), path)
  const commands = (text: string) => text.match(/^```[^]*?^```/gm)
  t.strictSame(commands(page), commands(source))
  t.end()
})
