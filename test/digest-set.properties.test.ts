import { equal } from 'node:assert/strict'
import fc from 'fast-check'

import { DigestSet } from '../src/digest-set.ts'
import { holds } from './property.ts'

const part = fc.uint8Array({ maxLength: 2, max: 3 })

holds(
  'a set of digests says which byte strings are new, as a set of strings does',
  [fc.array(fc.array(part, { minLength: 1, maxLength: 3 }), { maxLength: 60 })],
  (lists) => {
    const digests = new DigestSet()
    const known = new Set<string>()
    for (const parts of lists) {
      const text = Buffer.concat(parts).toString('hex')
      equal(digests.add(...parts), !known.has(text))
      known.add(text)
      equal(digests.size, known.size)
    }
  },
)

holds(
  'a set of digests keeps all of them while its table grows',
  [fc.integer({ min: 600, max: 6_000 }), fc.nat()],
  (count, salt) => {
    const digests = new DigestSet()
    const entry = (index: number) => Buffer.from(`${String(salt)} ${String(index)}`)
    for (let index = 0; index < count; index += 1) equal(digests.add(entry(index)), true)
    for (let index = 0; index < count; index += 1) equal(digests.add(entry(index)), false)
    equal(digests.size, count)
  },
  8,
)
