import type { JWTPayload } from 'jose'

/** The payload of a projected token, as kube-apiserver 1.37 writes it. */
export const projectedPayload: JWTPayload = {
  aud: ['vault'],
  exp: 1_767_229_200,
  iat: 1_767_225_600,
  iss: 'https://kubernetes.default.svc.cluster.local',
  jti: '7f1c3c0e-6d3f-4a51-9f0c-1a4a3b0b3b6e',
  'kubernetes.io': {
    namespace: 'kube-system',
    node: { name: 'cp-1', uid: '2b5c8a1e-0000-4000-8000-000000000001' },
    pod: { name: 'installer-x', uid: '2b5c8a1e-0000-4000-8000-000000000002' },
    serviceaccount: { name: 'transit-bridge', uid: '2b5c8a1e-0000-4000-8000-000000000003' },
  },
  nbf: 1_767_225_600,
  sub: 'system:serviceaccount:kube-system:transit-bridge',
}

/** A token with this payload with an invalid signature: only its claims are read. */
export function unsigned(payload: unknown): string {
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  return `${part({ alg: 'RS256', kid: 'test' })}.${part(payload)}.c2lnbmF0dXJl`
}
