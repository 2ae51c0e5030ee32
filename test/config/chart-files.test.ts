import { readFileSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'

import {
  generateChartFile,
  generateReadme,
  readChartValues,
} from '../../scripts/generate-chart-readme.ts'
import { version } from '../../src/version.ts'

const ROOT = join(import.meta.dirname, '../..')
const read = (path: string) => readFileSync(join(ROOT, path), 'utf8')

/** Every file in which a person may read the name of the image. */
function texts(): readonly string[] {
  const folders = ['docs', 'helm', 'packaging', 'src', 'scripts', 'vault-policies', 'bench']
  const inFolders = folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length + 1)),
  )
  return [...inFolders, 'README.md', 'Dockerfile', 'CONTRIBUTING.md', '.ci/run']
}

void test('README.md and Chart.yaml of the chart are generated (npm run generate updates them)', (t) => {
  t.equal(read('helm/transit-bridge/README.md'), generateReadme())
  t.equal(read('helm/transit-bridge/Chart.yaml'), generateChartFile())
  t.end()
})

void test('every value of the chart has a description', (t) => {
  const values = readChartValues(read('helm/transit-bridge/values.yaml'))
  t.ok(values.length > 100)
  for (const { path, description } of values) t.match(description, /^\S.+[.:]\S*$|^\S.+\}\.$/, path)
  t.end()
})

void test('the table of values contains comments, defaults and their continuation', (t) => {
  const text = `
# -- First
#    and more.
a: {b: 1}
#  not: this
c:
  # -- Inner.
  d: [] # not this
  e: x
`
  t.same(readChartValues(text), [
    { path: 'a', defaultJson: '{"b":1}', description: 'First and more.' },
    { path: 'c.d', defaultJson: '[]', description: 'Inner.' },
    { path: 'c.e', defaultJson: '"x"', description: '' },
  ])
  t.end()
})

void test('image and versions have one name everywhere', (t) => {
  const chart = parse(read('helm/transit-bridge/Chart.yaml')) as Record<string, unknown>
  t.match(chart, { name: 'transit-bridge', version, appVersion: version })
  for (const file of texts()) {
    for (const [image, tag] of read(file).matchAll(/\btransit-bridge:(\d+\.\d+\.\d+[-\w.]*)/g))
      t.equal(tag, version, `${file}: ${image}`)
  }
  t.end()
})
