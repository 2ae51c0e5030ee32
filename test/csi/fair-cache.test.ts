import { test } from 'tap'
import { FairCache } from '../../src/csi/fair-cache.ts'

function fixture(maxSize: number) {
  const left: string[] = []
  const cache = new FairCache<string>({ maxSize, onLeave: (value) => left.push(value) })
  const add = (owner: string, key: string, size = 1) => cache.set(key, key, { owner, size })
  return { cache, left, add }
}

void test('an owner that caches much removes its own entries, not those of others', (t) => {
  const { cache, left, add } = fixture(10)
  for (const key of ['a1', 'a2', 'a3']) add('a', key)
  for (let index = 0; index < 100; index += 1) add('b', `b${String(index)}`)
  t.same(
    ['a1', 'a2', 'a3'].map((key) => cache.get(key)),
    ['a1', 'a2', 'a3'],
  )
  t.equal(cache.size, 10)
  t.same(left.slice(0, 3), ['b0', 'b1', 'b2'])
  for (let index = 4; index < 100; index += 1) add('a', `a${String(index)}`)
  const owned = [...cache.values()].map((value) => value[0])
  t.same(
    ['a', 'b'].map((owner) => owned.filter((each) => each === owner).length),
    [5, 5],
    'both have half of it',
  )
  t.end()
})

void test('an owner removes its least recently used entry', (t) => {
  const { cache, left, add } = fixture(2)
  add('a', 'one')
  add('a', 'two')
  cache.get('one')
  add('a', 'three')
  t.same(left, ['two'])
  t.end()
})

void test('a new entry stays, even if it is the largest, and one larger than the cache is not kept', (t) => {
  const { cache, left, add } = fixture(10)
  for (let index = 0; index < 10; index += 1) add(`owner ${String(index)}`, String(index))
  add('large', 'large', 9)
  t.equal(cache.get('large'), 'large')
  t.equal(cache.size, 2)
  add('larger', 'larger', 11)
  t.equal(cache.get('larger'), undefined)
  t.equal(cache.size, 2)
  t.equal(left.filter((value) => value === 'large').length, 0)
  t.end()
})

void test('an entry counts for its first owner, and once', (t) => {
  const { cache, left, add } = fixture(3)
  add('a', 'shared')
  cache.set('shared', 'second', { owner: 'b', size: 1 })
  add('b', 'b1')
  add('b', 'b2')
  t.same(left, ['shared'], 'the replaced value')
  add('b', 'b3')
  t.same(left, ['shared', 'b1'])
  cache.delete('shared')
  cache.delete('nothing')
  t.same(left, ['shared', 'b1', 'second'])
  add('b', 'b4')
  t.equal(cache.size, 3)
  cache.clear()
  t.equal(cache.size, 0)
  t.equal(left.length, 6)
  add('a', 'again', 3)
  t.equal(cache.get('again'), 'again')
  t.end()
})
