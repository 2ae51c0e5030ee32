import { execFileSync } from 'node:child_process'
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'tap'
import { identityFromFile } from '../../src/identity/identity-source.ts'
import { readServiceAccountToken } from '../../src/identity/token-file.ts'
import { createKmsMetrics } from '../../src/telemetry/metrics/roles.ts'
import { HandClock } from '../fakes/clock.ts'
import { projectedPayload, unsigned } from './claims.ts'

const jwt = unsigned(projectedPayload)

void test('a token is read without surrounding white space', async (t) => {
  const file = join(t.testdir({ token: `\n  ${jwt} \r\n` }), 'token')
  const { token, claims } = await readServiceAccountToken(file)
  t.equal(token.reveal(), jwt)
  t.equal(claims.namespace, 'kube-system')
  t.notMatch(JSON.stringify({ token }), jwt)
})

void test('a token is read through the links of a projected volume', async (t) => {
  const folder = t.testdir({ '..2026_01_01': { token: jwt } })
  await symlink('..2026_01_01', join(folder, '..data'))
  await symlink('..data/token', join(folder, 'token'))
  t.equal((await readServiceAccountToken(join(folder, 'token'))).claims.node, 'cp-1')
})

void test('a file that cannot be used is explained', async (t) => {
  const folder = t.testdir({
    empty: '',
    blank: ' \n\n',
    huge: 'x'.repeat(70_000),
    binary: Buffer.from([0xff, 0xfe, 0, 1]),
    secret: 'hvs.very-secret-token',
  })
  await mkdir(join(folder, 'folder'))
  execFileSync('mkfifo', [join(folder, 'pipe')])
  const cases: [string, string, RegExp][] = [
    [
      'absent',
      'IDENTITY_MISSING',
      /absent does not exist yet; the kubelet \(projected volume\) or/,
    ],
    [
      'empty',
      'IDENTITY_INVALID',
      /empty is empty; the process that writes it has failed or not finished/,
    ],
    ['blank', 'IDENTITY_INVALID', /is empty/],
    ['huge', 'IDENTITY_INVALID', /is larger than 65536 bytes; is it the right file\?/],
    ['binary', 'IDENTITY_INVALID', /is not a JWT/],
    ['secret', 'IDENTITY_INVALID', /is not a JWT/],
    ['folder', 'IDENTITY_INVALID', /folder is a directory; name the file inside it/],
    ['pipe', 'IDENTITY_INVALID', /pipe is not a regular file/],
    ['empty/token', 'IDENTITY_INVALID', /cannot be opened \(ENOTDIR\)/],
  ]
  for (const [name, code, message] of cases) {
    const error = await rejection(readServiceAccountToken(join(folder, name)))
    t.match(error, { code, message }, name)
    t.match(error.message, `vault.auth.tokenFile: ${join(folder, name)} `, name)
    t.notMatch(error.message, /very-secret/, name)
  }
})

void test('a file that may not be read is reported with the user id', async (t) => {
  const file = join(t.testdir({ token: jwt }), 'token')
  await chmod(file, 0)
  // Root may read every file, so this process becomes another user for the read.
  const isRoot = process.geteuid?.() === 0
  if (isRoot) process.seteuid?.(65_534)
  try {
    await t.rejects(readServiceAccountToken(file), { message: /cannot be read by user id \d+/ })
  } finally {
    if (isRoot) process.seteuid?.(0)
  }
})

void test('the identity is read again for each login, and its expiry is a metric', async (t) => {
  const file = join(t.testdir({}), 'token')
  const clock = new HandClock()
  const metrics = createKmsMetrics('test')
  const read = identityFromFile({ file, expectations: { audience: 'vault' }, clock, metrics })
  await t.rejects(read(), { code: 'IDENTITY_MISSING' })
  await writeFile(file, jwt)
  t.equal((await read()).token.reveal(), jwt)
  const gauge = await metrics.identityTokenExpiry.get()
  t.equal(gauge.values[0]?.value, projectedPayload.exp)
  await writeFile(file, unsigned({ ...projectedPayload, exp: 1_767_200_000 }))
  t.match(await read(), { doubt: /expired at 2025-12-31/ }, 'Vault decides whether it is too late')
  t.equal((await metrics.identityTokenExpiry.get()).values[0]?.value, 1_767_200_000)
  await writeFile(file, unsigned({ sub: 'spiffe://example.org/kms', aud: ['vault'] }))
  t.match(await read(), { doubt: undefined })
  t.equal((await metrics.identityTokenExpiry.get()).values[0]?.value, Infinity)
})

async function rejection(promise: Promise<unknown>): Promise<Error> {
  const thrown: unknown = await promise.then(
    () => new Error('nothing was thrown'),
    (error: unknown) => error,
  )
  return thrown instanceof Error ? thrown : new Error('not an error')
}
