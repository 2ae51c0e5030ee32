import { getHeapStatistics } from 'node:v8'
import { DecryptCache } from '../../src/kms/decrypt-cache.ts'
import { systemClock } from '../../src/time/clock.ts'

// Fills a decrypt cache past its bound and prints the bytes of heap that it takes.
const [maxEntries = 0, keeps = 0] = process.argv.slice(2).map(Number)
const usedBytes = () => {
  globalThis.gc?.()
  return getHeapStatistics().used_heap_size
}
const emptyBytes = usedBytes()
const cache = new DecryptCache({ maxEntries, ttlMs: 604_800_000, clock: systemClock })
for (let index = 0; index < keeps; index += 1) {
  const ciphertext = `vault:v1:${String(index).padStart(80, 'A')}`
  cache.keep({ ciphertext, keyVersion: 1 }, Buffer.alloc(32, 1))
}
const heapBytes = usedBytes() - emptyBytes
process.stdout.write(JSON.stringify({ size: cache.size, heapBytes }))
