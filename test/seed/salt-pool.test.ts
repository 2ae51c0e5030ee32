import { test } from 'tap'
import { SaltPool } from '../../src/seed/salt-pool.ts'

void test('each salt has 32 bytes and is returned once, also by another pool', (t) => {
  const pools = [new SaltPool(), new SaltPool()]
  const salts = pools.flatMap((pool) => Array.from({ length: 100 }, () => pool.take()))
  for (const salt of salts) t.equal(salt.length, 32)
  t.equal(new Set(salts.map((salt) => salt.toString('hex'))).size, 200)
  t.end()
})
