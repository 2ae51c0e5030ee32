import { spawn } from 'node:child_process'
import { test } from 'tap'

import { findInMemory } from '../real/host/process-memory.ts'

const SOURCE = new URL('../../src/text/base64-bytes.ts', import.meta.url).href

/** Decodes 32 random bytes from base64, hands them to node:crypto, zeroes them, and prints their inverse. */
const CHILD = `
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { decodeBase64, encodeBase64 } from '${SOURCE}'
const random = randomBytes(32)
const text = encodeBase64(random)
const secret = decodeBase64(text)
random.fill(0)
text.fill(0)
timingSafeEqual(secret, secret)
let inverse = ''
for (const byte of secret.subarray(8, 24)) inverse += (byte ^ 0xff) + ' '
if (process.argv[1] === 'zero') secret.fill(0)
console.log(inverse)
setInterval(() => undefined, 1000)
`

async function isInMemory(what: 'zero' | 'keep'): Promise<boolean> {
  const child = spawn(process.execPath, ['--input-type=module', '-e', CHILD, what])
  try {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    child.stdout.once('data', (text: Buffer) => resolve(text.toString()))
    child.once('exit', () => reject(new Error('the program ended')))
    const inverse = (await promise).trim().split(' ').map(Number)
    const secret = Buffer.from(inverse.map((byte) => byte ^ 0xff))
    return findInMemory(child.pid ?? 0, [secret]).length > 0
  } finally {
    child.removeAllListeners('exit')
    child.kill('SIGKILL')
  }
}

void test('a decoded secret that node:crypto received is nowhere once it is zeroed', async (t) => {
  t.ok(await isInMemory('keep'), 'the search finds it')
  t.notOk(await isInMemory('zero'))
})
