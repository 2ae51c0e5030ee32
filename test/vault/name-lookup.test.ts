import { test } from 'tap'
import { NameLookup } from '../../src/vault/client/addresses/name-lookup.ts'

/** Resolves with the address, or with the error code. */
function lookUp(names: NameLookup, host: string): Promise<unknown> {
  return new Promise((resolve) => {
    names.lookup(host, {}, (error, address) => resolve(error === null ? address : error.code))
  })
}

void test('a lookup is pending until the name server answers, also with an error', async (t) => {
  const names = new NameLookup()
  t.notOk(names.isPending)
  const both = [lookUp(names, 'localhost'), lookUp(names, 'a name with spaces.invalid')]
  t.ok(names.isPending)
  const [address, code] = await Promise.all(both)
  t.match(address, /^(?:127\.0\.0\.1|::1)$/)
  t.match(code, /^(?:ENOTFOUND|EAI_AGAIN)$/)
  t.notOk(names.isPending)
})
