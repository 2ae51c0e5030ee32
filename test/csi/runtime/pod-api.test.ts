import { test } from 'tap'

import { FairGate } from '../../../src/csi/fair-gate.ts'
import { AccessRules } from '../../../src/csi/identity/access-rules.ts'
import type { SessionCache } from '../../../src/csi/identity/session-cache.ts'
import { toErrorResponse } from '../../../src/csi/runtime/error-response.ts'
import { PodApi, type PodIdentity } from '../../../src/csi/runtime/pod-api.ts'
import { BridgeError } from '../../../src/errors.ts'
import type { VaultResponse } from '../../../src/vault/client/request.ts'
import { HandClock } from '../../fakes/clock.ts'
import { newPod, ROLE } from '../pod-vault.ts'
import { ALLOW_RUNTIME } from './fixture.ts'

/** The API of one volume, whose requests wait for Vault one after the other. */
function startApi() {
  const clock = new HandClock()
  const home = { vaultNamespace: '', mount: 'transit' }
  const sent: PromiseWithResolvers<VaultResponse>[] = []
  const request = () => {
    const answer = Promise.withResolvers<VaultResponse>()
    sent.push(answer)
    return answer.promise
  }
  const session = { requester: { request }, use: (work: () => unknown) => work() }
  const sessions = { open: () => session } as unknown as SessionCache
  const api = new PodApi({
    home,
    rules: new AccessRules({ rules: [ALLOW_RUNTIME], home, guarded: undefined }),
    sessions,
    gate: new FairGate({ maxRunning: 1, maxPerOwner: 10, clock }),
    clock,
    programVersion: '1.2.3',
  })
  const volume = { id: 'csi-1', targetPath: '/mount', pod: newPod(), role: ROLE }
  const identity = { volume, token: {} } as unknown as PodIdentity
  const ask = () =>
    api
      .answer(
        {
          method: 'POST',
          target: '/v1/transit/hash',
          namespace: undefined,
          wantsWrapping: false,
          body: Buffer.from('{}'),
          signal: new AbortController().signal,
          onBytes: () => undefined,
        },
        identity,
        () => undefined,
      )
      .then(
        () => undefined,
        (thrown: unknown) => BridgeError.from(thrown),
      )
  return { clock, sent, ask }
}

void test('a request that waits too long behind others of its pod is refused as too many, not as an outage', async (t) => {
  const { clock, sent, ask } = startApi()
  const running = ask()
  const waiting = ask()
  await clock.advance(20_000)
  const refused = await waiting
  t.match(refused, { code: 'OVERLOADED', message: /while this request waited/ })
  t.equal(refused && toErrorResponse(refused).status, 429)
  t.equal(sent.length, 1)
  sent[0]?.reject(new BridgeError('VAULT_REJECTED', 'rejected'))
  t.match(await running, { code: 'VAULT_REJECTED' })
})

void test('during an outage, a request that waits too long is refused as one that Vault cannot answer', async (t) => {
  const { clock, sent, ask } = startApi()
  const running = ask()
  const next = ask()
  const waiting = ask()
  await clock.advance(0)
  sent[0]?.reject(new BridgeError('VAULT_UNAVAILABLE', 'silent'))
  t.match(await running, { code: 'VAULT_UNAVAILABLE' })
  await clock.advance(20_000)
  const refused = await waiting
  t.match(refused, { code: 'DEADLINE_EXCEEDED' })
  t.equal(refused && toErrorResponse(refused).status, 503)
  sent[1]?.reject(new BridgeError('VAULT_UNAVAILABLE', 'silent'))
  await next
})
