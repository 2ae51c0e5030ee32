import { test } from 'tap'

import { SecretCache } from '../../src/memory/secret-cache.ts'
import { HandClock } from '../fakes/clock.ts'

void test('the secret that would be evicted next is listed first, so that a copy keeps the order', (t) => {
  const open = () =>
    new SecretCache<{ readonly name: string }>({
      maxEntries: 3,
      secretBytes: 1,
      clock: new HandClock(),
    })
  const cache = open()
  for (const name of ['a', 'b', 'c']) cache.keep(name, Buffer.of(1), { name })
  cache.find('a')
  const copy = open()
  for (const { secret, note } of cache.list()) copy.keep(note.name, secret, note)
  copy.keep('d', Buffer.of(1), { name: 'd' })
  t.strictSame(
    copy.list().map(({ note }) => note.name),
    ['c', 'a', 'd'],
    'the least recently used one is gone',
  )
  t.end()
})
