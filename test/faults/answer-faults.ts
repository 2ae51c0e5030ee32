import type { HttpAnswer } from '../real/faults/http-proxy.ts'
import { failFirst, inflate, mislabel, shorten, truncate } from './answers.ts'
import { outage, WORKS, type Expected, type Fault } from './fault.ts'

const AT_PROXY = {
  surroundings: 'proxy',
  end: ({ http }) => http.clear(),
} as const satisfies Partial<Fault>

function responds(name: string, answer: HttpAnswer, expected: Expected): Fault {
  return {
    name,
    ...AT_PROXY,
    begin: ({ http }, match) => http.respond(answer, { match }),
    expected,
  }
}

const LIMITED = outage('VAULT_RATE_LIMITED', 'limits the rate of')
const QUOTA = { errors: ['request path: rate limit quota exceeded'] }
const NO_BATCH = { none: 'this place sends no batch' }
const ONLY_BATCHES = { login: NO_BATCH, refresh: NO_BATCH, encrypt: NO_BATCH, decrypt: NO_BATCH }

/** Vault, or something in front of it, answers. */
export const ANSWER_FAULTS: readonly Fault[] = [
  responds('429', { status: 429, body: QUOTA }, LIMITED),
  responds(
    '429 with Retry-After',
    { status: 429, body: QUOTA, headers: { 'retry-after': '1' } },
    LIMITED,
  ),
  responds(
    '500',
    { status: 500, body: { errors: ['internal error'] } },
    outage('VAULT_UNAVAILABLE', 'internal error (status 500)'),
  ),
  responds(
    '502 with HTML',
    { status: 502, body: '<html>Bad Gateway</html>' },
    outage('VAULT_UNAVAILABLE', 'is not from Vault (status 502, not JSON)'),
  ),
  {
    name: '503: sealed',
    surroundings: 'proxy',
    begin: ({ bao }) => bao.seal(),
    end: ({ bao }) => bao.unseal(),
    expected: outage('VAULT_SEALED', 'is sealed'),
  },
  responds('429 of a standby', { status: 429, body: { errors: [] } }, LIMITED),
  responds(
    '472 of a DR secondary',
    { status: 472, body: { errors: [] } },
    outage('VAULT_UNAVAILABLE', 'status 472'),
  ),
  responds(
    '473 of a performance standby',
    { status: 473, body: { errors: [] } },
    outage('VAULT_UNAVAILABLE', 'status 473'),
  ),
  {
    name: 'a wrong content type',
    ...AT_PROXY,
    begin: ({ http }, match) => http.alter(mislabel, { match }),
    expected: WORKS,
  },
  {
    name: 'truncated JSON',
    ...AT_PROXY,
    begin: ({ http }, match) => http.alter(truncate, { match }),
    expected: outage('VAULT_ANSWER_INVALID', 'is not from Vault (status 200, not JSON)'),
  },
  {
    name: 'JSON of 5 MiB',
    ...AT_PROXY,
    begin: ({ http }, match) => http.alter(inflate, { match }),
    expected: outage('VAULT_ANSWER_INVALID', 'sent a response of more than 4194304 bytes'),
  },
  {
    name: 'a batch with a missing result',
    ...AT_PROXY,
    begin: ({ http }, match) => http.alter(shorten, { match }),
    expected: outage(
      'VAULT_ANSWER_INVALID',
      'the number of results that Vault returned is not the number of values in the batch',
    ),
    at: ONLY_BATCHES,
  },
  {
    name: 'a batch in which one item fails',
    ...AT_PROXY,
    begin: ({ http }, match) => http.alter(failFirst, { match }),
    expected: outage('VAULT_UNAVAILABLE', 'internal error'),
    at: { ...ONLY_BATCHES, batch: { others: 'OK' } },
  },
]
