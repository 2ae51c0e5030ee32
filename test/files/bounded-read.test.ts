import { execFileSync } from 'node:child_process'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'tap'
import { readWithinTime } from '../../src/files/bounded-read.ts'
import { readSecretFile } from '../../src/files/secret-file.ts'
import { eventually } from '../real/host/eventually.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

const folder = tempFolder('bounded-read')

/** A pipe without a writer: opening it never returns, as on a dead network mount. */
function pipe(name: string): string {
  const file = join(folder, name)
  execFileSync('mkfifo', [file])
  return file
}

const read = (file: string) => readWithinTime(file, () => readFile(file, 'utf8'))

void test('a file is read, and the error of one that cannot be read passes through', async (t) => {
  const file = join(folder, 'file')
  writeFileSync(file, 'text')
  t.equal(await read(file), 'text')
  await t.rejects(read(join(folder, 'none')), { code: 'ENOENT' })
})

void test('reads that hang are named, not repeated, and never take all threads', async (t) => {
  const [first, second] = [pipe('first'), pipe('second')]
  const silent = { code: 'HOST_UNAVAILABLE', message: /^did not answer a read within 2 s/ }
  await t.rejects(read(first), silent)
  await t.rejects(read(first), { message: /^still does not answer a read/ })
  await t.rejects(read(second), silent)
  const file = join(folder, 'file')
  await t.rejects(read(file), {
    message: /is not read again because reads of .*first and .*second hang/,
  })
  await t.rejects(
    readSecretFile(file, 1024),
    { code: 'HOST_UNAVAILABLE', message: /^\S+\/file is not read again because reads of / },
    'who reads several secret files sees which one it was',
  )
  // A writer that comes and goes ends both reads.
  for (const path of [first, second]) closeSync(openSync(path, 'r+'))
  await eventually('files to be read again', async () => (await read(file)) === 'text')
})
