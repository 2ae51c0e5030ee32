import { test } from 'tap'
import { AddressBook } from '../../src/vault/client/addresses/address-book.ts'

void test('addresses are compared as URLs, and the same one counts once', async (t) => {
  const book = new AddressBook([
    'https://Vault.example.com:443/',
    'https://vault.example.com',
    'http://b:8200/vault/',
  ])
  t.strictSame(book.addresses, [
    { text: 'https://vault.example.com', origin: 'https://vault.example.com', secure: true },
    { text: 'http://b:8200/vault', origin: 'http://b:8200', secure: false },
  ])
  t.equal(book.find('http://b:8200'), 1)
  t.equal(book.find('https://b:8200'), undefined)
})

for (const [text, words] of [
  ['', 'must be a URL'],
  ['vault.example.com:8200', 'must be a URL'],
  ['ftp://vault', 'must be a URL'],
  ['https://user:hunter2@vault', 'must not contain a user name or password'],
  ['https://vault?x=hunter2', 'must not contain a query'],
  ['https://vault#hunter2', 'must not contain a query'],
] as const) {
  void test(`"${text}" is refused: ${words}`, async (t) => {
    const error = t.throws(() => new AddressBook([text]), { code: 'CONFIG_INVALID' })
    t.match(String(error), words)
    t.notMatch(String(error), 'hunter2')
  })
}

void test('an address is doubtful only while another one is proven', async (t) => {
  const book = new AddressBook(['http://a', 'http://b'])
  t.equal(book.isDoubtful(1), false)
  book.prove(0)
  t.equal(book.isDoubtful(1), true)
  t.equal(book.isDoubtful(0), false)
  book.disprove(0)
  t.equal(book.isDoubtful(1), false)
})

void test('no address at all is refused', async (t) => {
  t.throws(() => new AddressBook([]), { code: 'CONFIG_INVALID' })
})
