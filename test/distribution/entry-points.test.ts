import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

const ROOT = join(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')

/** The flags that were measured; each place that starts Node.js must have the same. */
const flagsIn = (text: string) => [...new Set(text.match(/--max-[a-z-]+=\d+/g))]

void test('launcher and image start Node.js with the same flags', (t) => {
  const flags = flagsIn(read('bin/transit-bridge'))
  t.equal(flags.length, 2)
  t.same(flagsIn(read('Dockerfile')), flags)
  t.same(flagsIn(read('scripts/build-rootfs.ts')), flags)
  t.end()
})

void test('the image is built by the script that tests build it by, and is nobody by default', (t) => {
  const dockerfile = read('Dockerfile')
  t.match(dockerfile, /scripts\/build-rootfs.ts \/image/)
  t.match(dockerfile, /^FROM scratch\nCOPY --from=build \/image \/$/m)
  t.match(dockerfile, /^USER 65532:65532$/m)
  t.notMatch(dockerfile, /:latest/)
  t.end()
})
