import { status, type ServiceError } from '@grpc/grpc-js'

import { BridgeError, type ErrorCode } from '../errors.ts'
import { oneLine } from '../text/one-line.ts'

const MAX_SHOWN = 300
const LEARNER = 'etcdserver: rpc not supported for learner'

/**
 * Errors of etcd by their exact description. It identifies an error for every etcd client: gRPC's own code does not (etcd:
 * api/v3rpc/rpctypes/error.go, func Error).
 */
const KNOWN: ReadonlyMap<string, readonly [ErrorCode, string]> = new Map([
  [
    'etcdserver: permission denied',
    [
      'ETCD_DENIED',
      'etcd denies this user the keys; grant it a role with read permission on the prefix, or use the API server certificate (apiserver-etcd-client)',
    ],
  ],
  [
    'etcdserver: authentication failed, invalid user ID or password',
    ['ETCD_DENIED', 'etcd rejects the user name or password; check --user and --password-file'],
  ],
  ['etcdserver: user name is empty', ['ETCD_DENIED', needsUser()]],
  ['etcdserver: user name not found', ['ETCD_DENIED', needsUser()]],
  [
    'etcdserver: authentication is not enabled',
    ['ETCD_DENIED', 'etcd has authentication disabled; remove --user and --password-file'],
  ],
  [
    'etcdserver: mvcc: required revision has been compacted',
    ['ETCD_COMPACTED', 'etcd has compacted the revision that was requested'],
  ],
  [
    LEARNER,
    [
      'ETCD_FAILED',
      'this member of etcd is a learner, which does not answer reads; name a voting member in --endpoints',
    ],
  ],
  [
    'etcdserver: too many requests',
    ['ETCD_FAILED', 'etcd is overloaded (too many requests); try again later or use --rate'],
  ],
])

function needsUser(): string {
  return 'etcd requires a user; pass --user and --password-file, or a client certificate whose common name is a user'
}

/** Whether the member is a learner, which answers no linearizable read; the voting members do. */
export function isLearnerFault(thrown: unknown): boolean {
  return (thrown as Partial<ServiceError>).details === LEARNER
}

/** Converts an error of the gRPC client to a BridgeError. */
export function explainEtcdFault(thrown: unknown): BridgeError {
  if (thrown instanceof BridgeError) return thrown
  const { code, details = '' } = thrown as Partial<ServiceError>
  if (code === undefined) return BridgeError.from(thrown)
  const known = KNOWN.get(details)
  if (known !== undefined) return new BridgeError(...known, { cause: thrown })
  return new BridgeError(...describe(code, details), { cause: thrown })
}

function describe(code: status, details: string): [ErrorCode, string] {
  if (code === status.RESOURCE_EXHAUSTED) return ['OVERLOADED', 'the response of etcd is too large']
  if (code === status.UNIMPLEMENTED)
    return [
      'ETCD_FAILED',
      'the server in --endpoints is not etcd 3; pass the --etcd-servers of kube-apiserver',
    ]
  return [
    'ETCD_FAILED',
    `etcd reports: ${oneLine(details, MAX_SHOWN)}; check that --endpoints names etcd, as the --etcd-servers of kube-apiserver do`,
  ]
}
