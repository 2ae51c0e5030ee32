import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { status } from '@grpc/grpc-js'
import { test } from 'tap'
import type { ErrorCode } from '../../src/errors.ts'
import { toGrpcStatus } from '../../src/grpc/status.ts'

/** Every code of the union ErrorCode, read from its source: the type is not there at run time. */
const source = readFileSync(join(import.meta.dirname, '../../src/errors.ts'), 'utf8')
const codes = [...source.matchAll(/^ {2}\| '([A-Z_]+)'$/gm)].map((match) => match[1] as ErrorCode)

void test('every error code has a gRPC status that is an error', (t) => {
  t.ok(codes.length > 30)
  for (const code of codes) {
    const number = toGrpcStatus(code)
    t.equal(typeof status[number], 'string', code)
    t.not(number, status.OK, code)
    t.not(number, status.UNKNOWN, code)
  }
  t.end()
})

const KINDS: readonly (readonly [status, readonly ErrorCode[]])[] = [
  [status.INVALID_ARGUMENT, ['REQUEST_INVALID', 'CIPHERTEXT_INVALID', 'ANNOTATIONS_INVALID']],
  [status.FAILED_PRECONDITION, ['KEY_ID_UNKNOWN', 'CLUSTER_FOREIGN', 'KEY_VERSION_DISABLED']],
  [status.FAILED_PRECONDITION, ['KEY_MISSING', 'KEY_UNSUITABLE']],
  [status.UNAVAILABLE, ['VAULT_UNREACHABLE', 'VAULT_TIMEOUT', 'VAULT_SEALED']],
  [status.UNAVAILABLE, ['VAULT_UNAVAILABLE', 'VAULT_RATE_LIMITED', 'KEY_VERSION_UNKNOWN']],
  [status.UNAVAILABLE, ['HOST_UNAVAILABLE']],
  [status.PERMISSION_DENIED, ['VAULT_DENIED', 'LOGIN_REFUSED', 'IDENTITY_MISSING']],
  [status.DEADLINE_EXCEEDED, ['DEADLINE_EXCEEDED']],
  [status.CANCELLED, ['CANCELLED']],
  [status.RESOURCE_EXHAUSTED, ['OVERLOADED']],
  [status.INTERNAL, ['INTERNAL']],
]

for (const [expected, group] of KINDS) {
  void test(`${group.join(', ')}: ${status[expected]}`, (t) => {
    for (const code of group) t.equal(status[toGrpcStatus(code)], status[expected])
    t.end()
  })
}
