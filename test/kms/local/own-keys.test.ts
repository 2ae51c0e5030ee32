import { test } from 'tap'

import type { CallContext } from '../../../src/call-context.ts'
import type { BridgeError, ErrorCode } from '../../../src/errors.ts'
import { CheckContext } from '../../../src/kms/check-context.ts'
import { LocalKeys } from '../../../src/kms/local/own-keys.ts'
import { makeSnapshot } from '../../../src/seed/key-snapshot.ts'
import type { EncryptInput } from '../../../src/transit/transit.ts'
import { HandClock } from '../../fakes/clock.ts'
import { memoryLog } from '../../fakes/log.ts'
import { OpenCall } from '../../fakes/scripted-vault.ts'
import { transitKey } from '../transit-key.ts'
import { seed } from './node.ts'

const CLUSTERS = { clusterId: 'prod', alsoDecryptClusters: [] }

/** Local keys whose encryption by Vault the test ends by hand. */
function fixture() {
  const clock = new HandClock()
  const encrypts: OpenCall<EncryptInput, string>[] = []
  const keys = new LocalKeys({
    config: { maxUses: 10, maxAgeMs: 3_600_000 },
    clusterId: 'prod',
    encrypt: (input, context) => {
      const call = new OpenCall<EncryptInput, string>(input, context)
      encrypts.push(call)
      return call.result
    },
    decrypt: ({ ciphertext }) => Promise.resolve(Buffer.from(ciphertext, 'latin1')),
    ring: { add: () => undefined, refresh: () => undefined },
    onUse: () => undefined,
    limit: { encryptLeftMs: 3_600_000 },
    clock,
    log: memoryLog().log,
  })
  const snapshot = makeSnapshot(transitKey(1), CLUSTERS, 0)
  const encrypt = (index: number): OpenCall<EncryptInput, string> => {
    const call = encrypts[index]
    if (call === undefined) throw new Error(`encrypt ${String(index)} was not asked for`)
    return call
  }
  /** Vault encrypts; its ciphertext is the key itself. */
  const answer = (index: number) =>
    encrypt(index).answer(Buffer.from(encrypt(index).given.plaintext).toString('latin1'))
  const follow = (work: Promise<unknown>) => {
    const state: { ended?: string } = {}
    work.then(
      () => void (state.ended = 'OK'),
      ({ code }: { code: ErrorCode }) => void (state.ended = code),
    )
    return state
  }
  const call = (context: Partial<CallContext> = {}) =>
    follow(keys.seal(seed, snapshot, { deadline: clock.monotonic() + 3_000, ...context }))
  const check = (context: CallContext = new CheckContext(clock.monotonic())) =>
    follow(keys.prepare(snapshot, context))
  return { clock, encrypts, encrypt, answer, call, check }
}

void test('a check creates a local key within its own time, fails fast, and learns of retries', (t) => {
  const { clock, encrypt, check } = fixture()
  const retries: string[] = []
  const context = new CheckContext(clock.monotonic() - 6_000, ({ code }) => void retries.push(code))
  check(context)
  const { deadline, failsFast, uid, onRetry } = encrypt(0).context
  t.equal(deadline, 2_000)
  t.equal(failsFast, true)
  t.not(uid, context.uid, 'the requests of the check itself are counted for themselves')
  onRetry?.({ code: 'VAULT_UNREACHABLE' } as BridgeError)
  t.same(retries, ['VAULT_UNREACHABLE'])
  t.end()
})

void test('a check that fails fast does not end a call that arrives meanwhile', async (t) => {
  const { encrypt, answer, call, check } = fixture()
  const checking = check()
  const calling = call()
  await encrypt(0).fail('VAULT_UNREACHABLE')
  t.same([checking.ended, calling.ended], ['VAULT_UNREACHABLE', undefined])
  t.not(encrypt(1).context.failsFast, true)
  await answer(1)
  t.equal(calling.ended, 'OK')
})

void test('a call that waits for Vault does not delay the failure of a check', async (t) => {
  const { encrypt, answer, call, check } = fixture()
  const calling = call()
  const checking = check()
  await encrypt(1).fail('VAULT_UNREACHABLE')
  t.same([calling.ended, checking.ended], [undefined, 'VAULT_UNREACHABLE'])
  await answer(0)
  t.equal(calling.ended, 'OK')
})

void test('a call and a check that both create a local key leave one that encrypts', async (t) => {
  const { encrypts, answer, call, check } = fixture()
  const states = [call(), check()]
  await answer(1)
  await answer(0)
  states.push(call(), check())
  await Promise.resolve()
  t.same(
    states.map(({ ended }) => ended),
    ['OK', 'OK', 'OK', 'OK'],
  )
  t.equal(encrypts.length, 2)
})

void test('calls share a new local key until the deadline of each', async (t) => {
  const { clock, encrypt, encrypts, answer, call } = fixture()
  const early = call()
  await clock.advance(7_000)
  t.equal(early.ended, 'DEADLINE_EXCEEDED')
  const late = call()
  await clock.advance(1_000)
  await encrypt(0).fail('DEADLINE_EXCEEDED')
  t.equal(late.ended, undefined)
  await answer(1)
  t.equal(late.ended, 'OK')
  t.equal(encrypts.length, 2)
})
