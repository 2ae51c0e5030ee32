import { once } from 'node:events'
import { test, type Test } from 'tap'
import { Secret } from '../../src/secret.ts'
import type { VaultRequest } from '../../src/vault/client/request.ts'
import { HandClock } from '../fakes/clock.ts'
import { eventually } from '../real/host/eventually.ts'
import { TOKEN, clientFixture, decrypt, failureOf, readKey, within } from './client-fixture.ts'
import { LocalVault, answer, inTurn, silence, type Handler } from './local-vault.ts'

/** An address where no server listens. */
async function deadAddress(t: Test): Promise<string> {
  const server = await LocalVault.start(t, silence)
  const { address } = server
  await server.stop()
  return address
}

void test('what goes over the wire', async (t) => {
  const vault = await LocalVault.start(t, answer(200, { data: { plaintext: 'x' }, auth: {} }))
  const { client } = clientFixture(t, [`${vault.address}/`], { namespace: 'team-a' })
  const last = () => vault.requests.at(-1)

  void t.test('a POST with token, namespace and uid', async (s) => {
    const response = await client.request(decrypt, within(5000, { uid: 'a-1,b-2' }))
    s.strictSame(response, { status: 200, body: { data: { plaintext: 'x' }, auth: {} } })
    s.match(last(), {
      method: 'POST',
      url: '/v1/transit/decrypt/k8s-etcd',
      body: JSON.stringify(decrypt.body),
      headers: {
        'content-type': 'application/json',
        'x-vault-request': 'true',
        'x-vault-token': TOKEN,
        'x-vault-namespace': 'team-a',
        'x-transit-bridge-uid': 'a-1,b-2',
      },
    })
  })

  void t.test(
    'without a token the request is anonymous; a request may name its own namespace',
    async (s) => {
      const login: VaultRequest = {
        operation: 'login',
        method: 'POST',
        path: 'auth/jwt/login',
        body: {},
      }
      await client.request({ ...login, namespace: 'admin' }, within(5000))
      s.equal(last()?.headers['x-vault-token'], undefined)
      s.equal(last()?.headers['x-vault-namespace'], 'admin')
      await client.request({ ...login, namespace: '' }, within(5000))
      s.equal(last()?.headers['x-vault-namespace'], undefined)
    },
  )

  void t.test('GET, LIST, DELETE and a POST without a body', async (s) => {
    await client.request(readKey, within(5000))
    s.match(last(), { method: 'GET', url: '/v1/transit/keys/k8s-etcd', body: '' })
    await client.request({ ...readKey, method: 'LIST', path: 'transit/keys' }, within(5000))
    s.match(last(), { method: 'GET', url: '/v1/transit/keys?list=1' })
    await client.request({ ...readKey, method: 'DELETE' }, within(5000))
    s.match(last(), { method: 'DELETE', url: '/v1/transit/keys/k8s-etcd' })
    await client.request(
      { operation: 'revoke_token', method: 'POST', path: 'auth/token/revoke-self' },
      within(5000),
    )
    s.match(last(), { method: 'POST', body: '' })
  })

  void t.test('percent-encoded segments arrive as they are', async (s) => {
    await client.request(
      { ...readKey, path: `transit/keys/${encodeURIComponent('my=key&#x2F;a')}` },
      within(5000),
    )
    s.equal(last()?.url, '/v1/transit/keys/my%3Dkey%26%23x2F%3Ba')
  })

  for (const uid of ['a b', 'a\r\nX-Evil: 1', 'ü', '', 'x'.repeat(4097)]) {
    void t.test(
      `the uid ${JSON.stringify(uid.slice(0, 20))} is not a safe header and is dropped`,
      async (s) => {
        await client.request(decrypt, within(5000, { uid }))
        s.equal(last()?.headers['x-transit-bridge-uid'], undefined)
      },
    )
  }

  void t.test('requests that follow each other share connections', async (s) => {
    // Two, because undici reuses a connection only after one turn of the event loop.
    s.ok(vault.sockets.length <= 2)
  })
})

void test('nothing is taken from the environment', async (t) => {
  const vault = await LocalVault.start(t, answer(200))
  const elsewhere = await LocalVault.start(t, answer(200))
  t.intercept(process, 'env', {
    value: {
      ...process.env,
      VAULT_ADDR: elsewhere.address,
      VAULT_TOKEN: 'from-the-environment',
      VAULT_NAMESPACE: 'from-the-environment',
      VAULT_PREFIX: '/from-the-environment',
      HTTP_PROXY: elsewhere.address,
      http_proxy: elsewhere.address,
      NODE_USE_ENV_PROXY: '1',
    },
  })
  const { client } = clientFixture(t, [vault.address])
  await client.request(
    { operation: 'login', method: 'POST', path: 'auth/jwt/login', body: {} },
    within(5000),
  )
  t.equal(elsewhere.requests.length, 0)
  t.equal(vault.requests[0]?.url, '/v1/auth/jwt/login')
  t.notMatch(JSON.stringify(vault.requests), 'from-the-environment')
})

/** Tried again until too little time is left; how often depends on jitter. */
const REPEATED = Symbol('repeated')

void test('answers that fail', async (t) => {
  const rows = [
    [
      'a denial',
      answer(403, { errors: ['1 error occurred:\n\t* permission denied\n\n'] }),
      'VAULT_DENIED',
      /denies decrypt: permission denied/,
      1,
    ],
    ['HTML with 200', answer(200, '<html>'), 'VAULT_ANSWER_INVALID', /not from Vault/, REPEATED],
    ['HTML with 502', answer(502, '<html>'), 'VAULT_UNAVAILABLE', /not from Vault/, REPEATED],
    [
      'too long an answer',
      answer(200, `"${'x'.repeat(4 * 1024 * 1024)}"`),
      'VAULT_ANSWER_INVALID',
      /4194304 bytes/,
      3,
    ],
    [
      'an answer cut off',
      ((response) => {
        response.writeHead(200, { 'Content-Length': '100' }).write('{"data')
        setImmediate(() => response.destroy())
      }) as typeof silence,
      'VAULT_UNREACHABLE',
      /cut off/,
      REPEATED,
    ],
    [
      'a chunked answer cut off',
      ((response) => {
        response.write('{"data')
        setImmediate(() => response.destroy())
      }) as typeof silence,
      'VAULT_UNREACHABLE',
      /cut off/,
      REPEATED,
    ],
    [
      'a connection closed without an answer',
      ((response) => {
        response.destroy()
      }) as typeof silence,
      'VAULT_UNREACHABLE',
      /is unreachable/,
      REPEATED,
    ],
    [
      'something that is not HTTP',
      ((response) => {
        response.socket?.end('SSH-2.0-OpenSSH_9.9\r\n')
      }) as typeof silence,
      'VAULT_ANSWER_INVALID',
      /not respond in HTTP/,
      3,
    ],
    ['sealed', answer(503, { errors: ['Vault is sealed'] }), 'VAULT_SEALED', /sealed/, REPEATED],
    [
      'a rate limit without a time',
      answer(429, { errors: ['rate limit quota exceeded'] }),
      'VAULT_RATE_LIMITED',
      /limits the rate/,
      REPEATED,
    ],
    [
      'a rate limit beyond the deadline',
      answer(429, { errors: [] }, { 'Retry-After': '60' }),
      'VAULT_RATE_LIMITED',
      /429/,
      1,
    ],
  ] as const
  for (const [name, handler, code, words, asked] of rows) {
    void t.test(`${name}: ${code}`, async (s) => {
      const vault = await LocalVault.start(s, handler)
      const { client } = clientFixture(s, [vault.address])
      const error = await failureOf(client.request(decrypt, within(2_000)))
      s.equal(error.code, code)
      s.match(error.message, words)
      s.match(error.message, vault.address)
      if (asked === REPEATED) s.ok(vault.requests.length > 2)
      else s.equal(vault.requests.length, asked)
    })
  }
})

void test('temporary failures are tried again', async (t) => {
  const good = answer(200, { data: {} })
  const rows = [
    ['a 500', answer(500, { errors: ['internal error'] })],
    ['a rate limit that ends at once', answer(429, { errors: [] }, { 'Retry-After': '0' })],
    [
      'a stale connection',
      ((response) => {
        response.destroy()
      }) as typeof silence,
    ],
    [
      'an answer cut off',
      ((response) => {
        response.writeHead(200, { 'Content-Length': '100' }).write('{')
        setImmediate(() => response.destroy())
      }) as typeof silence,
    ],
  ] as const
  for (const [name, handler] of rows) {
    void t.test(name, async (s) => {
      const vault = await LocalVault.start(s, inTurn(handler, good))
      const { client } = clientFixture(s, [vault.address])
      s.equal((await client.request(decrypt, within(5000))).status, 200)
      s.equal(vault.requests.length, 2)
    })
  }

  void t.test('but not the revocation of a token', async (s) => {
    const vault = await LocalVault.start(s, answer(500, { errors: [] }))
    const { client } = clientFixture(s, [vault.address])
    const revoke: VaultRequest = {
      operation: 'revoke_token',
      method: 'POST',
      path: 'auth/token/revoke-self',
    }
    s.equal((await failureOf(client.request(revoke, within(2_000)))).code, 'VAULT_UNAVAILABLE')
    s.equal(vault.requests.length, 1)
  })
})

void test('a kept connection that the server closed costs one more try, not the call', async (t) => {
  const vault = await LocalVault.start(t, answer(200))
  const { client } = clientFixture(t, [vault.address])
  await client.request(decrypt, within(5000))
  // Closed at the moment in which the next request is on its way.
  vault.handle = (response, request, count) => {
    if (count === 2) response.socket?.destroy()
    else answer(200)(response, request, count)
  }
  t.equal((await client.request(decrypt, within(5000))).status, 200)
  t.equal(vault.requests.length, 3)
})

void test('time limits', async (t) => {
  const vault = await LocalVault.start(t, silence)

  void t.test('no request is sent after the deadline', async (s) => {
    const { client } = clientFixture(s, [vault.address])
    const asked = vault.requests.length
    s.equal((await failureOf(client.request(decrypt, within(-1)))).code, 'DEADLINE_EXCEEDED')
    s.equal(vault.requests.length, asked)
    s.equal(vault.sockets.length, 0)
  })

  void t.test('the deadline of the caller ends a request', async (s) => {
    const { client } = clientFixture(s, [vault.address])
    s.equal((await failureOf(client.request(decrypt, within(50)))).code, 'DEADLINE_EXCEEDED')
  })

  void t.test('vault.timeout ends an attempt, which is an outage and tried again', async (s) => {
    const clock = new HandClock()
    const { client } = clientFixture(s, [vault.address], { clock, timeoutMs: 2000 })
    const asked = vault.requests.length
    const failure = failureOf(client.request(decrypt, { deadline: 6_550 }))
    // At first it waits only a short time, because another connection may lead to another node.
    const steps = [
      [750, 50],
      [1500, 100],
      [2000, 100],
      [2000, 0],
    ] as const
    for (const [attempt, [patienceMs, waitMs]] of steps.entries()) {
      await vault.arrival(asked + attempt + 1)
      await clock.advance(patienceMs)
      await clock.advance(waitMs)
    }
    const error = await failure
    s.equal(error.code, 'VAULT_TIMEOUT')
    s.match(error.message, 'vault.timeout')
    s.equal(clock.pending, 0)
  })

  void t.test('an incomplete response times out as well', async (s) => {
    const slow = await LocalVault.start(s, (response) => void response.writeHead(200).write('{'))
    const { client } = clientFixture(s, [slow.address])
    s.equal((await failureOf(client.request(decrypt, within(50)))).code, 'DEADLINE_EXCEEDED')
  })

  void t.test('a caller that disconnects cancels, before and during a request', async (s) => {
    const { client } = clientFixture(s, [vault.address])
    s.equal(
      (await failureOf(client.request(decrypt, within(5000, { signal: AbortSignal.abort() }))))
        .code,
      'CANCELLED',
    )
    const controller = new AbortController()
    const asked = new Promise<void>((resolve) => (vault.handle = () => resolve()))
    const failure = failureOf(client.request(decrypt, within(5000, { signal: controller.signal })))
    await asked
    const closed = new Promise((resolve) => vault.sockets.at(-1)?.once('close', resolve))
    controller.abort()
    s.equal((await failure).code, 'CANCELLED')
    await closed
  })

  void t.test('a caller that disconnects while a retry waits cancels', async (s) => {
    const controller = new AbortController()
    const limited = await LocalVault.start(s, (...given) => {
      answer(429, { errors: [] }, { 'Retry-After': '30' })(...given)
      setTimeout(() => controller.abort(), 20)
    })
    const { client } = clientFixture(s, [limited.address])
    const context = within(60_000, { signal: controller.signal })
    s.equal((await failureOf(client.request(decrypt, context))).code, 'CANCELLED')
  })
})

void test('several addresses', async (t) => {
  const good = answer(200, { data: {} })
  const bad = [
    ['5xx', answer(502, { errors: [] })],
    ['sealed', answer(503, { errors: ['Vault is sealed'] })],
    ['not vault', answer(200, 'hello')],
    ['silent', silence],
  ] as const
  for (const [name, handler] of bad) {
    void t.test(`${name}: the next is tried, and kept`, async (s) => {
      const first = await LocalVault.start(s, handler)
      const second = await LocalVault.start(s, good)
      const { client } = clientFixture(s, [first.address, second.address], { timeoutMs: 500 })
      await client.request(decrypt, within(5000))
      await client.request(decrypt, within(5000))
      s.equal(first.requests.length, 1)
      s.equal(second.requests.length, 2)
    })
  }

  void t.test(
    'refused: the next is tried, and the one that died later is left again',
    async (s) => {
      const second = await LocalVault.start(s, good)
      const third = await LocalVault.start(s, good)
      const { client } = clientFixture(s, [await deadAddress(s), second.address, third.address])
      await client.request(decrypt, within(5000))
      await second.stop()
      await client.request(decrypt, within(5000))
      s.equal(third.requests.length, 1)
    },
  )

  void t.test('an answer with failed batch items stays where it is', async (s) => {
    const first = await LocalVault.start(
      t,
      answer(500, { data: { batch_results: [{ error: 'x' }] } }),
    )
    const second = await LocalVault.start(s, good)
    const { client } = clientFixture(s, [first.address, second.address])
    s.equal((await client.request(decrypt, within(5000))).status, 500)
    s.equal(second.requests.length, 0)
  })

  void t.test('the address that accepts what the first denies stays in use', async (s) => {
    const first = await LocalVault.start(s, answer(403, { errors: ['permission denied'] }))
    const second = await LocalVault.start(s, good)
    const { client } = clientFixture(s, [first.address, second.address])
    for (let call = 0; call < 2; call += 1) await client.request(decrypt, within(5000))
    s.equal(first.requests.length, 1)
    s.equal(second.requests.length, 2)
  })

  void t.test('a denial is reported when every address denies', async (s) => {
    const denial = answer(403, { errors: ['permission denied'] })
    const vaults = [await LocalVault.start(s, denial), await LocalVault.start(s, denial)]
    const { client } = clientFixture(
      s,
      vaults.map(({ address }) => address),
    )
    s.equal((await failureOf(client.request(decrypt, within(2_000)))).code, 'VAULT_DENIED')
    s.strictSame(
      vaults.map(({ requests }) => requests.length),
      [1, 1],
    )
  })

  void t.test('callers with short deadlines leave a silent address too', async (s) => {
    const first = await LocalVault.start(s, silence)
    const second = await LocalVault.start(s, good)
    const { client } = clientFixture(s, [first.address, second.address], { timeoutMs: 400 })
    s.equal((await failureOf(client.request(decrypt, within(250)))).code, 'DEADLINE_EXCEEDED')
    s.equal((await client.request(decrypt, within(5000))).status, 200)
  })

  void t.test('a silent address is left long before vault.timeout', async (s) => {
    const clock = new HandClock()
    const first = await LocalVault.start(s, silence)
    const second = await LocalVault.start(s, good)
    const options = { clock, timeoutMs: 8_000 }
    const { client } = clientFixture(s, [first.address, second.address], options)
    const response = client.request(decrypt, { deadline: 3_000 })
    await first.arrival(1)
    await clock.advance(750)
    s.equal((await response).status, 200)
    s.equal((await client.request(decrypt, { deadline: 3_000 })).status, 200)
    s.equal(first.requests.length, 1, 'the next request starts at the other one')
  })

  void t.test(
    'the revocation of a token is sent once, so it waits for vault.timeout',
    async (s) => {
      const clock = new HandClock()
      const first = await LocalVault.start(s, silence)
      const second = await LocalVault.start(s, good)
      const options = { clock, timeoutMs: 2_000 }
      const { client } = clientFixture(s, [first.address, second.address], options)
      const revoke: VaultRequest = { ...decrypt, operation: 'revoke_token' }
      const failure = failureOf(client.request(revoke, { deadline: 3_000 }))
      await first.arrival(1)
      await clock.advance(2_000)
      s.match((await failure).message, 'did not answer revoke token within vault.timeout')
      s.equal(second.requests.length, 0)
    },
  )

  for (const [operation, timeoutMs] of [
    ['login', 1_000],
    ['write_setting', 4_000],
  ] as const)
    void t.test(`${operation}: a slow answer is awaited while others are fast`, async (s) => {
      const clock = new HandClock()
      let end = () => {}
      const vault = await LocalVault.start(s, (response, request, count) => {
        if (request.url === '/v1/slow') end = () => answer(200)(response, request, count)
        else good(response, request, count)
      })
      const { client } = clientFixture(s, [vault.address], { clock, timeoutMs: 8_000 })
      const slow = { ...decrypt, operation, path: 'slow' }
      const response = client.request(slow, { deadline: 10_000 })
      await vault.arrival(1)
      for (let at = 0; at < timeoutMs - 100; at += 100) {
        await clock.advance(100)
        await client.request(decrypt, { deadline: 20_000 })
      }
      end()
      s.equal((await response).status, 200)
      s.equal(vault.requests.filter(({ url }) => url === '/v1/slow').length, 1)
    })

  void t.test(
    'an operation that takes long is answered beside others after it was sent twice, and then at once',
    async (s) => {
      const clock = new HandClock()
      const held: (() => void)[] = []
      const vault = await LocalVault.start(s, (response, request, count) => {
        if (request.url === '/v1/slow') held.push(() => answer(200)(response, request, count))
        else good(response, request, count)
      })
      const { client } = clientFixture(s, [vault.address], { clock, timeoutMs: 8_000 })
      const slow: VaultRequest = { ...decrypt, operation: 'sign', path: 'slow' }
      const ask = async (tries: number) => {
        const startedWith = held.length
        const response = client.request(slow, { deadline: 60_000 })
        let isOpen = true
        void response.finally(() => (isOpen = false))
        for (let one = 1; one <= tries; one += 1) {
          while (held.length < startedWith + one) {
            await clock.advance(50)
            await client.request(decrypt, { deadline: 60_000 })
          }
          for (let at = 0; at < 900 && held.length === startedWith + one; at += 50) {
            await clock.advance(50)
            await client.request(decrypt, { deadline: 60_000 })
          }
        }
        held.at(-1)?.()
        s.equal((await response).status, 200)
        s.notOk(isOpen)
        return held.length - startedWith
      }
      s.equal(await ask(2), 2)
      s.equal(await ask(1), 1)
    },
  )

  void t.test('an address whose response has begun is not silent', async (s) => {
    const clock = new HandClock()
    let end = () => {}
    const vault = await LocalVault.start(s, (response, request, count) => {
      if (request.url !== '/v1/slow') {
        good(response, request, count)
        return
      }
      response.writeHead(200).write('{"data":')
      end = () => response.end('{}}')
    })
    const { client } = clientFixture(s, [vault.address], { clock, timeoutMs: 8_000 })
    let bytes = 0
    const { promise: begun, resolve } = Promise.withResolvers<undefined>()
    const onBytes = (count: number) => {
      bytes = count
      resolve(undefined)
    }
    const slow = { ...decrypt, path: 'slow', onBytes }
    const response = client.request(slow, { deadline: 10_000 })
    await begun
    await clock.advance(2_000)
    await client.request(decrypt, { deadline: 10_000 })
    end()
    s.equal((await response).status, 200)
    s.equal(bytes, 11)
    s.equal(vault.requests.length, 2)
  })

  void t.test('a request that must be sent once is not repeated', async (s) => {
    const failed = await LocalVault.start(s, answer(500, { errors: ['failed'] }))
    const second = await LocalVault.start(s, good)
    const { client } = clientFixture(s, [failed.address, second.address])
    const rotate: VaultRequest = { ...decrypt, operation: 'write_setting', isSentOnce: true }
    s.equal((await failureOf(client.request(rotate, within(5_000)))).code, 'VAULT_UNAVAILABLE')
    s.strictSame([failed.requests.length, second.requests.length], [1, 0])
  })

  void t.test('once a later request is answered, all leave the silent address', async (s) => {
    const clock = new HandClock()
    const first = await LocalVault.start(s, silence)
    const second = await LocalVault.start(s, good)
    const options = { clock, timeoutMs: 8_000 }
    const { client } = clientFixture(s, [first.address, second.address], options)
    const waiting = [1, 2, 3].map(() => client.request(decrypt, { deadline: 3_000 }))
    await first.arrival(3)
    await clock.advance(749)
    s.equal(second.requests.length, 0)
    await clock.advance(1)
    for (const response of waiting) s.equal((await response).status, 200)
    s.equal(second.requests.length, 3)
  })

  void t.test(
    'a request that was sent again, too, leaves once a later one of the same kind is answered',
    async (s) => {
      const clock = new HandClock()
      const vault = await LocalVault.start(s, inTurn(silence, silence, good))
      const { client } = clientFixture(s, [vault.address], { clock, timeoutMs: 8_000 })
      const uniform = { ...decrypt, isUniform: true }
      const response = client.request(uniform, { deadline: 3_000 })
      await vault.arrival(1)
      await clock.advance(750)
      await clock.advance(50)
      await vault.arrival(2)
      // Its patience is now 1.5 s, in case Vault is slow.
      await clock.advance(499)
      await client.request(uniform, { deadline: 3_000 })
      s.equal(vault.requests.length, 3)
      await clock.advance(1)
      await client.request(uniform, { deadline: 3_000 })
      await clock.advance(100)
      s.equal((await response).status, 200)
      s.equal(vault.requests.length, 5)
    },
  )

  void t.test('a Decrypt with a slow key is answered beside those with a fast one', async (s) => {
    const clock = new HandClock()
    const vault = await LocalVault.start(s, (...given) => {
      if (given[1].url === '/v1/slow') clock.after(700, () => good(...given))
      else good(...given)
    })
    const { client } = clientFixture(s, [vault.address], { clock, timeoutMs: 8_000 })
    const slow = client.request({ ...decrypt, path: 'slow' }, { deadline: 10_000 })
    await vault.arrival(1)
    let isOpen = true
    void slow.catch(() => undefined).finally(() => (isOpen = false))
    await eventually('an answer', async () => {
      await client.request(decrypt, { deadline: 20_000 })
      await clock.advance(50)
      return !isOpen
    })
    s.equal((await slow).status, 200)
  })

  void t.test(
    'if all addresses are silent, one request after another is sent again, every 100 ms',
    async (s) => {
      const clock = new HandClock()
      const vaults = [await LocalVault.start(s, silence), await LocalVault.start(s, silence)]
      const [first, second] = vaults
      const { client } = clientFixture(
        s,
        vaults.map(({ address }) => address),
        { clock, timeoutMs: 8_000 },
      )
      const waiting = [1, 2, 3].map(() => failureOf(client.request(decrypt, { deadline: 1_000 })))
      await first?.arrival(3)
      await clock.advance(750)
      await second?.arrival(1)
      await clock.advance(99)
      s.equal(second?.requests.length, 1)
      await clock.advance(1)
      await second?.arrival(2)
      await clock.advance(100)
      await second?.arrival(3)
      await clock.advance(50)
      for (const error of waiting) s.match((await error).code, /VAULT_TIMEOUT|DEADLINE_EXCEEDED/)
      s.strictSame(
        vaults.map(({ requests }) => requests.length),
        [3, 3],
      )
    },
  )

  void t.test('a node that lags is left for the next request', async (s) => {
    const behind = answer(400, { errors: ['too new'] })
    const vaults = [
      await LocalVault.start(s, inTurn(good, behind)),
      await LocalVault.start(s, good),
    ]
    const { client } = clientFixture(
      s,
      vaults.map(({ address }) => address),
    )
    const isBehind: VaultRequest['isBehind'] = ({ status, text }) =>
      status === 400 && text.includes('too new')
    const request = { ...decrypt, isBehind }
    await client.request(request, within(2_000))
    s.equal((await failureOf(client.request(request, within(2_000)))).code, 'VAULT_REJECTED')
    s.equal((await client.request(request, within(2_000))).status, 200)
    s.strictSame(
      vaults.map(({ requests }) => requests.length),
      [2, 1],
    )
  })

  void t.test('a node that lags behind a balancer is left with its connection', async (s) => {
    const balancer = await LocalVault.start(s, answer(200, { data: { latest_version: 1 } }))
    const { client } = clientFixture(s, [balancer.address])
    await client.request({ ...readKey, isBehind: () => false }, within(2_000))
    const closed = balancer.sockets.map((socket) => once(socket, 'close'))
    await client.request({ ...readKey, isBehind: () => true }, within(2_000))
    await Promise.race(closed)
    s.equal((await client.request(readKey, within(2_000))).status, 200)
  })

  void t.test('all dead: the message names address and reason', async (s) => {
    const address = await deadAddress(s)
    const { client } = clientFixture(s, [address])
    const error = await failureOf(client.request(decrypt, within(2_000)))
    s.equal(error.code, 'VAULT_UNREACHABLE')
    s.equal(error.message, `Vault at ${address} is unreachable: connection refused`)
  })
})

void test('logins that Vault counts, while no address is proven', async (t) => {
  const login: VaultRequest = {
    operation: 'login',
    method: 'POST',
    path: 'auth/approle/login',
    body: {},
    countsRefusals: true,
  }
  const vaultOf = (s: Test, health: Handler, signIn: Handler) =>
    LocalVault.start(s, (response, seen, count) => {
      const handle = seen.url.startsWith('/v1/sys/health') ? health : signIn
      handle(response, seen, count)
    })
  const loginsAt = ({ requests }: LocalVault) =>
    requests.filter(({ url }) => url === '/v1/auth/approle/login').length
  const rejects = answer(400, { errors: ['invalid role or secret ID'] })
  const accepts = answer(200, { auth: { client_token: 't', lease_duration: 1 } })
  const cluster = (cluster_id: string, replication_performance_mode = 'primary') =>
    answer(200, { cluster_id, replication_performance_mode })

  void t.test('are sent to an address of another cluster, in the root namespace', async (s) => {
    const first = await vaultOf(s, cluster('a'), rejects)
    const second = await vaultOf(s, cluster('a'), accepts)
    const third = await vaultOf(s, cluster('b'), accepts)
    const addresses = [first, second, third].map(({ address }) => address)
    const { client } = clientFixture(s, addresses, { namespace: 'team' })
    await client.request(login, within(4_000))
    s.same([first, second, third].map(loginsAt), [1, 0, 1])
    const [asked] = second.requests
    s.match(asked, { url: '/v1/sys/health?standbyok=true&perfstandbyok=true' })
    s.equal(asked?.headers['x-vault-namespace'], undefined)
  })

  const unknown: readonly (readonly [string, Handler, Handler])[] = [
    ['the same cluster answers at both', cluster('a'), cluster('a')],
    ['one is sealed', cluster('a'), answer(503, { sealed: true })],
    ['the cluster of the first is not known', answer(200, { initialized: true }), cluster('b')],
    ['one is silent', cluster('a'), silence],
    ['one replicates the other', cluster('a'), cluster('b', 'secondary')],
    ['the other replicates the one', cluster('a', 'secondary'), cluster('b')],
  ]
  for (const [what, one, other] of unknown) {
    void t.test(`are not sent to another address if ${what}`, async (s) => {
      const first = await vaultOf(s, one, rejects)
      const second = await vaultOf(s, other, accepts)
      const { client } = clientFixture(s, [first.address, second.address])
      const error = await failureOf(client.request(login, within(4_000)))
      s.equal(error.code, 'VAULT_REJECTED')
      s.same([loginsAt(first), loginsAt(second)], [1, 0])
    })
  }
})

void test('requests of pods', async (t) => {
  const good = answer(200, { data: {} })
  const sign: VaultRequest = { ...decrypt, operation: 'sign', path: 'slow', passesOn: true }

  void t.test(
    'one that is slow is sent three times, and awaited longer than vault.timeout',
    async (s) => {
      const clock = new HandClock()
      const held: (() => void)[] = []
      const slow: Handler = (...given) => held.push(() => good(...given))
      const vaults = [await LocalVault.start(s, slow), await LocalVault.start(s, slow)] as const
      const addresses = vaults.map(({ address }) => address)
      const { client } = clientFixture(s, addresses, { clock, timeoutMs: 2_000 })
      const response = client.request(sign, { deadline: 20_000 })
      await vaults[0].arrival(1)
      await clock.advance(750)
      await vaults[1].arrival(1)
      await clock.advance(1_500)
      await eventually('a third request', async () => {
        await clock.advance(50)
        return held.length === 3
      })
      await clock.advance(15_000)
      held[2]?.()
      s.equal((await response).status, 200)
      s.equal(held.length, 3)

      vaults[0].handle = good
      await client.request(decrypt, { deadline: 20_000 })
      s.equal(vaults[0].requests.length, 3, 'the address in use is the same')
      vaults[0].handle = slow
      const next = client.request(sign, { deadline: 40_000 })
      await vaults[0].arrival(4)
      await clock.advance(750)
      await vaults[1].arrival(2)
      held[4]?.()
      s.equal((await next).status, 200, 'the patience is the same')
    },
  )

  void t.test('one without an answer does not show that Vault is down', async (s) => {
    const clock = new HandClock()
    const vault = await LocalVault.start(s, good)
    const { client, metrics } = clientFixture(s, [vault.address], { clock, timeoutMs: 2_000 })
    await client.request(decrypt, { deadline: 20_000 })
    vault.handle = silence
    const failure = failureOf(client.request(sign, { deadline: 20_000 }))
    await vault.arrival(2)
    await eventually('two more requests', async () => {
      await clock.advance(50)
      return vault.requests.length === 4
    })
    await clock.advance(20_000)
    s.equal((await failure).code, 'VAULT_TIMEOUT')
    s.equal(vault.requests.length, 4)
    s.equal((await metrics.vaultUp.get()).values[0]?.value, 1)
  })

  void t.test('a silent address is left if another one answers at once', async (s) => {
    const clock = new HandClock()
    const first = await LocalVault.start(s, silence)
    const second = await LocalVault.start(s, good)
    const { client } = clientFixture(s, [first.address, second.address], { clock })
    const response = client.request(sign, { deadline: 20_000 })
    await first.arrival(1)
    await clock.advance(750)
    s.equal((await response).status, 200)
    await client.request(sign, { deadline: 20_000 })
    s.equal(first.requests.length, 1)
  })

  void t.test('two silent nodes do not keep one from the third, which stays in use', async (s) => {
    const clock = new HandClock()
    const silent = [await LocalVault.start(s, silence), await LocalVault.start(s, silence)] as const
    const third = await LocalVault.start(s, good)
    const addresses = [...silent, third].map(({ address }) => address)
    const { client } = clientFixture(s, addresses, { clock, timeoutMs: 2_000 })
    const response = client.request(sign, { deadline: 20_000 })
    await silent[0].arrival(1)
    await clock.advance(750)
    await silent[1].arrival(1)
    await clock.advance(1_500)
    s.equal((await response).status, 200)
    await client.request(sign, { deadline: 20_000 })
    s.equal(third.requests.length, 2)
    s.same([silent[0].requests.length, silent[1].requests.length], [1, 1])
  })

  void t.test('a Vault that is down is asked again, also after a silence', async (s) => {
    const clock = new HandClock()
    const sealed = answer(503, { errors: ['Vault is sealed'] })
    const vault = await LocalVault.start(s, inTurn(sealed, silence, sealed, sealed, good))
    const { client } = clientFixture(s, [vault.address], { clock })
    const response = client.request(sign, { deadline: 20_000 })
    let isOpen = true
    void response.finally(() => (isOpen = false))
    await eventually('an answer', async () => {
      await clock.advance(50)
      return !isOpen
    })
    s.equal((await response).status, 200)
    s.equal(vault.requests.length, 5)
  })
})

void test('redirects', async (t) => {
  const good = answer(200, { data: {} })
  const to = (location: string, status = 307) => answer(status, '', { Location: location })

  void t.test(
    'are followed to another configured address, with token and body, and that one is kept',
    async (s) => {
      for (const status of [307, 308]) {
        const active = await LocalVault.start(s, good)
        const standby = await LocalVault.start(
          t,
          to(`${active.address}/v1/transit/decrypt/k8s-etcd`, status),
        )
        const { client } = clientFixture(s, [standby.address, active.address])
        await client.request(decrypt, within(5000))
        await client.request(decrypt, within(5000))
        s.equal(standby.requests.length, 1)
        s.match(active.requests, [
          {
            method: 'POST',
            body: JSON.stringify(decrypt.body),
            headers: { 'x-vault-token': TOKEN },
          },
          { method: 'POST' },
        ])
      }
    },
  )

  void t.test('a relative one stays at its address', async (s) => {
    const vault = await LocalVault.start(s, inTurn(to('/v1/transit/keys/k8s-etcd?x=1'), good))
    const { client } = clientFixture(s, [vault.address])
    await client.request(readKey, within(5000))
    s.equal(vault.requests[1]?.url, '/v1/transit/keys/k8s-etcd?x=1')
  })

  void t.test('the query of a request is not part of its path', async (s) => {
    const path = `${readKey.path}?context=c2hvcA%3D%3D`
    const vault = await LocalVault.start(s, inTurn(to(`/v1/${path}`), good))
    const { client } = clientFixture(s, [vault.address])
    await client.request({ ...readKey, path }, within(5000))
    s.same(
      vault.requests.map(({ url }) => url),
      [`/v1/${path}`, `/v1/${path}`],
    )
  })

  void t.test('one to another path is not followed', async (s) => {
    for (const path of ['/login', '/v1/transit/keys/other', '/v1/transit/keys/k8s-etcd/rotate']) {
      const vault = await LocalVault.start(s, inTurn(to(path), answer(404, { errors: [] })))
      const { client } = clientFixture(s, [vault.address], { random: () => 0 })
      await failureOf(client.request(readKey, within(20)))
      s.ok(vault.requests.every(({ url }) => url === '/v1/transit/keys/k8s-etcd'))
    }
  })

  void t.test('301 and 302 are followed only for reads', async (s) => {
    for (const status of [301, 302]) {
      const vault = await LocalVault.start(
        t,
        inTurn(
          to('/v1/transit/keys/k8s-etcd', status),
          good,
          to('/v1/transit/decrypt/k8s-etcd', status),
        ),
      )
      const { client } = clientFixture(s, [vault.address])
      await client.request(readKey, within(5000))
      const error = await failureOf(client.request(decrypt, within(2_000)))
      s.equal(error.code, 'VAULT_REDIRECT_REFUSED')
      s.match(error.message, 'drop the request body')
    }
  })

  void t.test('no other server ever receives the token', async (s) => {
    const stranger = await LocalVault.start(s, good)
    const vault = await LocalVault.start(s, to(`${stranger.address}/v1/transit/decrypt/k8s-etcd`))
    const { client } = clientFixture(s, [vault.address])
    const error = await failureOf(client.request(decrypt, within(2_000)))
    s.equal(error.code, 'VAULT_REDIRECT_REFUSED')
    s.match(error.message, stranger.address)
    s.match(error.message, 'vault.address')
    s.equal(stranger.sockets.length, 0)
  })

  void t.test('two are followed, a third is refused', async (s) => {
    const vault = await LocalVault.start(s, to('/v1/transit/decrypt/k8s-etcd'))
    const { client } = clientFixture(s, [vault.address])
    const error = await failureOf(client.request(decrypt, within(2_000)))
    s.equal(error.code, 'VAULT_REDIRECT_REFUSED')
    // The deadline can cut off the last attempt.
    s.ok(vault.requests.length >= 3)
  })

  void t.test('without a usable target are refused', async (s) => {
    for (const handler of [answer(307), answer(304), to('http://')]) {
      const vault = await LocalVault.start(s, handler)
      const { client } = clientFixture(s, [vault.address])
      s.equal(
        (await failureOf(client.request(readKey, within(2_000)))).code,
        'VAULT_REDIRECT_REFUSED',
      )
    }
  })
})

void test('requests are reported', async (t) => {
  void t.test(
    'one observation a request and one debug line a failure, regardless of the number of attempts',
    async (s) => {
      const vault = await LocalVault.start(s, inTurn(answer(200), answer(502)))
      const { client, lines, metrics } = clientFixture(s, [vault.address])
      await client.request(decrypt, within(5000))
      s.strictSame(lines, [])
      s.equal((await metrics.vaultUp.get()).values[0]?.value, 1)
      await failureOf(client.request(decrypt, within(5000, { uid: 'u-1' })))
      s.match(lines, [
        {
          level: 'debug',
          operation: 'decrypt',
          vault_address: vault.address,
          code: 'VAULT_UNAVAILABLE',
          uid: 'u-1',
        },
      ])
      s.equal(lines.length, 1)
      s.type(lines[0]?.['duration_ms'], 'number')
      s.equal((await metrics.vaultUp.get()).values[0]?.value, 0)
      const counts = (await metrics.vaultRequestDuration.get()).values.filter(({ metricName }) =>
        metricName?.endsWith('_count'),
      )
      s.match(counts, [
        { labels: { operation: 'decrypt', outcome: 'ok' }, value: 1 },
        { labels: { operation: 'decrypt', outcome: 'vault_unavailable' }, value: 1 },
      ])
    },
  )

  void t.test(
    'a refusal shows that Vault is up; a caller that disconnects shows nothing',
    async (s) => {
      const vault = await LocalVault.start(s, answer(403, { errors: ['permission denied'] }))
      const { client, metrics } = clientFixture(s, [vault.address])
      const up = async () => (await metrics.vaultUp.get()).values[0]?.value
      await failureOf(client.request(decrypt, within(-1)))
      s.equal(await up(), undefined)
      await failureOf(client.request(decrypt, within(2_000)))
      s.equal(await up(), 1)
      await failureOf(client.request(decrypt, within(-1)))
      s.equal(await up(), 1)
    },
  )

  void t.test(
    'a server that repeats token and body does not bring them into messages or the log',
    async (s) => {
      const vault = await LocalVault.start(s, (response, request, count) => {
        const echo = `${request.body} ${String(request.headers['x-vault-token'])}`
        answer(400, count === 1 ? { errors: [echo] } : echo)(response, request, count)
      })
      const { client, lines } = clientFixture(s, [vault.address])
      for (const _ of [1, 2]) {
        const error = await failureOf(client.request(decrypt, within(2_000)))
        s.notMatch(
          `${String(error)} ${String(error.cause)} ${JSON.stringify(lines)}`,
          /hvs\.|c2VjcmV0/,
        )
      }
    },
  )

  void t.test(
    'a token that is not a valid header value is rejected without showing it',
    async (s) => {
      const vault = await LocalVault.start(s, answer(200))
      const { client } = clientFixture(s, [vault.address])
      const error = await failureOf(
        client.request({ ...decrypt, token: new Secret('hvs.one\nhvs.two') }, within(5000)),
      )
      s.equal(error.code, 'INTERNAL')
      s.match(error.message, 'X-Vault-Token')
      s.notMatch(String(error), 'hvs.')
    },
  )
})

void test('close lets a request end, and refuses later ones', async (t) => {
  let release = () => {}
  const vault = await LocalVault.start(t, (...given) => (release = () => answer(200)(...given)))
  const { client } = clientFixture(t, [vault.address])
  const asked = new Promise<void>((resolve) => {
    const { handle } = vault
    vault.handle = (...given) => {
      handle(...given)
      resolve()
    }
  })
  const pending = client.request(decrypt, within(5000))
  await asked
  const closing = client.close()
  release()
  t.equal((await pending).status, 200)
  await closing
  t.equal((await failureOf(client.request(decrypt, within(2_000)))).code, 'CANCELLED')
})

void test('the address that answered a check is proven, not the one in use when the check ends', async (t) => {
  const held: (() => void)[] = []
  const known = await LocalVault.start(t, (response, request, count) => {
    held.push(() => {
      answer(200)(response, request, count)
    })
  })
  const other = await LocalVault.start(t, answer(200))
  const { client } = clientFixture(t, [known.address, other.address], {
    recognize: () => Promise.resolve(false),
  })
  const check = within(5000)
  const read = client.request(readKey, check)
  await known.arrival(1)
  known.handle = answer(503, { errors: ['a passing fault'] })
  await failureOf(client.request({ ...readKey, operation: 'revoke_token' }, within(2_000)))
  held[0]?.()
  await read
  client.prove(check)

  await known.stop()
  t.match(await failureOf(client.request(decrypt, within(2_000))), { code: 'VAULT_UNREACHABLE' })
  t.strictSame(other.requests, [], 'the other Vault is sent nothing')
})

void test('nothing is proven by a check that two addresses answered', async (t) => {
  const first = await LocalVault.start(t, answer(200))
  const second = await LocalVault.start(t, answer(200))
  const { client } = clientFixture(t, [first.address, second.address], {
    recognize: () => Promise.resolve(false),
  })
  const check = within(5000)
  await client.request(readKey, check)
  await first.stop()
  await client.request(decrypt, check)
  client.prove(check)
  t.equal((await client.request(decrypt, within(5000))).status, 200, 'neither one is doubted')
  t.equal(second.requests.length, 2)
})

void test('a redirect to an address that is not proven is followed only after that one has shown the same key', async (t) => {
  const good = answer(200, { data: {} })
  for (const isSame of [false, true]) {
    const leader = await LocalVault.start(t, good)
    const standby = await LocalVault.start(t, good)
    const { client } = clientFixture(t, [standby.address, leader.address], {
      recognize: () => Promise.resolve(isSame),
    })
    const check = within(5000)
    await client.request(readKey, check)
    client.prove(check)
    const location = `${leader.address}/v1/transit/decrypt/k8s-etcd`
    standby.handle = answer(307, '', { Location: location })
    const response = client.request(decrypt, within(1000))
    if (isSame) t.equal((await response).status, 200)
    else t.match(await failureOf(response), { code: 'VAULT_REDIRECT_REFUSED' })
    t.equal(leader.requests.length, isSame ? 1 : 0, 'no token and no plaintext before')
  }
})

void test('other addresses are proven in advance, with the token of the check', async (t) => {
  const vaults = [
    await LocalVault.start(t, answer(200)),
    await LocalVault.start(t, answer(200)),
    await LocalVault.start(t, answer(403, { errors: ['permission denied'] })),
  ]
  const clock = new HandClock()
  let checks = 0
  const { client } = clientFixture(
    t,
    vaults.map(({ address }) => address),
    {
      clock,
      recognize: async (vault, context) => {
        checks += 1
        await vault.request({ ...readKey, token: undefined }, context)
        return true
      },
    },
  )
  const check = { deadline: 5_000 }
  await client.proveOthers(check, { deadline: 5_000 })
  t.equal(checks, 0, 'nothing was proven yet')
  await client.request(readKey, check)
  client.prove(check)
  await client.proveOthers(check, { deadline: 5_000 })
  t.equal(checks, 2)
  t.equal(vaults[1]?.requests[0]?.headers['x-vault-token'], TOKEN)

  await client.proveOthers(check, { deadline: 5_000 })
  t.equal(checks, 2, 'one is proven, and the other was tried a moment ago')
  await clock.advance(30_000)
  await client.proveOthers(check, { deadline: 40_000 })
  t.equal(checks, 3)

  await vaults[0]?.stop()
  t.equal((await client.request(decrypt, { deadline: 40_000 })).status, 200)
  t.equal(checks, 3, 'a request goes to a proven address without a check')
})
