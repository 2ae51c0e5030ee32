// Texts from outside on which a regular expression could take quadratic time or more: a test would then not end.
import { test } from 'tap'

import { readSecretPath } from '../../src/csi/migration/secret-path.ts'
import { readManifest } from '../../src/doctor/api-server-manifest.ts'
import { parseGoDuration } from '../../src/encryption/go-duration.ts'
import { readSample } from '../../src/kube/metric-sample.ts'
import { Secret } from '../../src/secret.ts'
import { readPem } from '../../src/setup/cluster-keys.ts'
import { trimSlashes } from '../../src/text/slashes.ts'
import { readAnswer } from '../../src/vault/client/answer.ts'
import { AttemptFailure } from '../../src/vault/client/attempt.ts'
import type { VaultRequest } from '../../src/vault/client/request.ts'
import { cleanWords } from '../../src/vault/client/wording.ts'

const LONG = 1024 * 1024
/** Vault's words up to this length are read. */
const READ = 4096

const request: VaultRequest = {
  operation: 'hash',
  method: 'POST',
  path: 'transit/hash',
  body: Buffer.from('{"input":""}'),
  token: new Secret('hvs.token'),
}

/** A text of about this length that consists of a repeated part, with an end that no pattern expects. */
const repeat = (part: string, length: number) =>
  `${part.repeat(Math.floor(length / part.length) - 1)}\nx`

const PARTS = [
  '\n',
  '\n * ',
  ' ',
  '.',
  ';',
  '1',
  '1 error occurred:',
  '/',
  '?',
  '?version=1',
  '&version=',
  '/data/',
  '/keys/a',
  '$(',
  '$(a',
  'HTTP request ',
  'eyJaaaaaaaaaaaa',
  's.a',
  's.aaaaaaaaaaaaaaaaaaaaaaaaa1',
  'vault:v1:',
  '11s',
  'aaaa',
  'a="\\"',
  '-----BEGIN CERTIFICATE-----\n',
  '-----END ',
]

function readError(text: string): string {
  const outcome = readAnswer(
    {
      attempt: { request, context: { deadline: 0 }, endsAt: 0 },
      status: 400,
      text,
      secrets: [],
      retryAfter: undefined,
      connection: undefined,
      rateLimitReset: undefined,
      location: undefined,
    },
    'https://vault:8200',
    0,
  )
  return outcome instanceof AttemptFailure ? outcome.error.message : ''
}

function manifestWith(env: readonly object[]): string {
  const containers = [
    { name: 'kube-apiserver', image: 'x', command: ['kube-apiserver', '$(A)'], env },
  ]
  return JSON.stringify({ apiVersion: 'v1', kind: 'Pod', spec: { containers } })
}

for (const part of PARTS) {
  void test(`a text full of ${JSON.stringify(part)} takes linear time`, (t) => {
    const long = repeat(part, LONG)
    t.ok(cleanWords([repeat(part, READ)], request).length <= 400, "Vault's words")
    t.ok(cleanWords(Array<string>(LONG / 8).fill(part), request).length <= 400, 'many of them')
    t.match(cleanWords([long], request), /^an error of [\d,]+ characters$/)
    t.match(readError(JSON.stringify({ errors: [long] })), 'rejects hash', 'a response of Vault')
    t.match(readError(long), 'not from Vault', 'a page')
    t.ok(readSecretPath(long).kind, 'a path of the Vault provider')
    t.ok(trimSlashes(long).length <= long.length, 'an address')
    t.ok(readManifest(manifestWith([{ name: 'A', value: long }])), 'a manifest of kube-apiserver')
    t.equal(parseGoDuration(long), undefined, 'a duration')
    t.equal(
      readSample(`m{${long.replaceAll('\n', '')}} 1`, 'm')?.value,
      1,
      'a metric of kube-apiserver',
    )
    t.throws(() => readPem(long, 'sa.pub'), { message: 'sa.pub contains no key in PEM' })
    t.end()
  })
}

void test('variables of a manifest that contain each other do not grow without a limit', (t) => {
  const env = [{ name: 'V0', value: 'x'.repeat(100) }]
  for (let count = 1; count < 64; count += 1) {
    const before = `$(V${String(count - 1)})`
    env.push({ name: count === 63 ? 'A' : `V${String(count)}`, value: before + before })
  }
  t.ok(readManifest(manifestWith(env)))
  t.end()
})

void test('a duration with many digits takes linear time', (t) => {
  const zeros = '0'.repeat(LONG)
  t.equal(parseGoDuration(`${zeros}1s`), 1000)
  t.equal(parseGoDuration(`1.${zeros}1s`), 1000)
  t.equal(parseGoDuration(`1${zeros}s`), undefined)
  t.equal(parseGoDuration('11s'.repeat(LONG / 4)), (11_000 * LONG) / 4)
  t.end()
})

void test('slashes are removed at the end only', (t) => {
  t.same(['', '/', '//', '/a/', 'a//', 'a/b'].map(trimSlashes), ['', '', '', '/a', 'a', 'a/b'])
  t.end()
})
