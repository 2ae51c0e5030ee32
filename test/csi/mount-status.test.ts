import { status } from '@grpc/grpc-js'
import { test } from 'tap'
import { toMountStatus } from '../../src/csi/mount-status.ts'

/** The real driver and a folder that stays: test/e2e/csi/csi-driver.test.ts and csi-outage.test.ts. */
void test('no failed Mount has a status that the kubelet treats as uncertain', (t) => {
  for (const code of [
    'VAULT_UNREACHABLE',
    'VAULT_TIMEOUT',
    'VAULT_SEALED',
    'VAULT_UNAVAILABLE',
    'VAULT_RATE_LIMITED',
    'VAULT_TLS_INVALID',
    'HOST_UNAVAILABLE',
    'DEADLINE_EXCEEDED',
    'CANCELLED',
    'OVERLOADED',
  ] as const) {
    t.equal(toMountStatus(code), status.FAILED_PRECONDITION, code)
  }
  t.equal(toMountStatus('RULE_DENIED'), status.PERMISSION_DENIED)
  t.equal(toMountStatus('POD_TOKEN_MISSING'), status.UNAUTHENTICATED)
  t.equal(toMountStatus('CLASS_INVALID'), status.INVALID_ARGUMENT)
  t.equal(toMountStatus('OBJECT_MISSING'), status.NOT_FOUND)
  t.end()
})
