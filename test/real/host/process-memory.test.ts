import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'tap'

import { findInMemory } from './process-memory.ts'

/**
 * Prints the inverse of random bytes and keeps them among blocks of memory that it frees and allocates all the time. With these settings
 * of the launcher, each block is mapped alone, and the kernel reports neighbors as one range.
 */
const MALLOC = { MALLOC_ARENA_MAX: '1', MALLOC_MMAP_THRESHOLD_: '16384' }
const CHILD = `
import { randomBytes } from 'node:crypto'
const secret = randomBytes(18)
console.log(Buffer.from(secret.map((byte) => byte ^ 0xff)).toString('hex'))
const allocate = () => Buffer.allocUnsafeSlow(65536).fill(1)
const blocks = Array.from({ length: 200 }, allocate)
secret.copy(blocks[100])
const kept = blocks[100]
secret.fill(0)
const change = () => {
  for (let count = 0; count < 100; count += 1) {
    const index = Math.floor(Math.random() * blocks.length)
    if (blocks[index] !== kept) blocks[index] = allocate()
  }
  gc({ type: 'minor' })
  setImmediate(change)
}
change()
`

void test('bytes are found in a process that allocates and frees memory all the time', async (t) => {
  const args = ['--expose-gc', '--input-type=module', '-e', CHILD]
  const child = spawn(process.execPath, args, { env: MALLOC })
  t.teardown(() => child.kill('SIGKILL'))
  const [text] = (await once(child.stdout, 'data')) as [Buffer]
  const inverse = Buffer.from(String(text), 'hex')
  const wanted = Buffer.from(inverse.map((byte) => byte ^ 0xff))
  for (let count = 0; count < 20; count += 1)
    t.same(findInMemory(child.pid ?? 0, [wanted]), [wanted])
})
