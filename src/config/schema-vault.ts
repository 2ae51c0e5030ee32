import * as v from 'valibot'

import type { AuthConfig, TransitPlace, VaultConnection } from './config.ts'
import { duration } from './duration.ts'
import { addresses, isPlaintext } from './endpoint.ts'
import { toggle } from './number.ts'
import { authMount, claim, filePath, hostName, mountPath, namespace, vaultName } from './text.ts'

const METHOD =
  'How to log in: jwt checks a service-account token offline against pinned keys, kubernetes asks the API ' +
  'server about it, approle, cert and token are for hosts without one.'

function method<const Name extends AuthConfig['method']>(name: Name) {
  return v.pipe(v.literal(name), v.description(METHOD), v.metadata({ kind: 'word' }))
}

/** Keys that every login with a mount has. */
function place(mount: string) {
  return {
    mount: v.optional(authMount('Mount of the auth method, without auth/.'), mount),
    namespace: v.exactOptional(loginNamespace),
  }
}

const loginNamespace = namespace('Namespace to log in to, where it is not vault.namespace.')

const tokenFile = filePath(
  'File with the service-account token; with method token, with a Vault token. It is read anew when it is needed.',
)

const serviceAccount = {
  role: vaultName('Role of the auth method to log in as.'),
  tokenFile,
  audience: v.exactOptional(
    claim('Audience that the token must have; checked before Vault sees the token.'),
  ),
  issuer: v.exactOptional(
    claim('Issuer that the token must have; checked before Vault sees the token.'),
  ),
}

const auth = v.pipe(
  v.variant('method', [
    v.strictObject({
      method: v.optional(method('jwt'), 'jwt'),
      ...place('jwt'),
      ...serviceAccount,
    }),
    v.strictObject({ method: method('kubernetes'), ...place('kubernetes'), ...serviceAccount }),
    v.strictObject({
      method: method('approle'),
      ...place('approle'),
      roleIdFile: filePath('File with the role id.'),
      secretIdFile: filePath('File with the secret id; it is read anew for every login.'),
    }),
    v.strictObject({
      method: method('cert'),
      ...place('cert'),
      role: v.exactOptional(vaultName('Role of the auth method to log in as.')),
      certFile: filePath('File with the client certificate and its chain, in PEM.'),
      keyFile: filePath('File with the private key of the client certificate, in PEM.'),
    }),
    v.strictObject({
      method: method('token'),
      tokenFile,
      namespace: v.exactOptional(loginNamespace),
    }),
  ]),
  v.description(
    'How the program proves to Vault who it is. The CSI provider never logs in by it: pods do, by csi.auth.',
  ),
)

const PLAINTEXT_REFUSED =
  'is http:// to another host, so the token and all that is decrypted could be read on the way; ' +
  'use https://, or set vault.allowPlaintext: true where another layer encrypts'
const CERT_NEEDS_TLS =
  'must be https:// with vault.auth.method cert; the certificate is shown inside TLS'

/** The section `vault`; needed.ts says when `auth` may be left out. */
export const vaultSection = v.pipe(
  v.strictObject({
    address: addresses,
    namespace: v.exactOptional(
      namespace('Namespace of the Transit engine, in Vault Enterprise or OpenBao.'),
    ),
    caFile: v.exactOptional(
      filePath(
        'File with the CA certificates that Vault must be signed by, in PEM. Without it those of Node.js.',
      ),
    ),
    serverName: v.exactOptional(
      hostName(
        'Name that the certificate of Vault must have, where it is not the host of the address.',
      ),
    ),
    timeout: v.optional(
      duration(
        'How long one request to Vault may take, within the deadline of the call it serves.',
        '100ms',
        '60s',
      ),
      '2s',
    ),
    allowPlaintext: v.optional(
      toggle('Whether http:// to another host is allowed. To loopback it always is.'),
      false,
    ),
    auth: v.exactOptional(auth),
  }),
  v.description('Where Vault or OpenBao is, and who the program is to it.'),
  v.forward(
    v.partialCheck(
      [['address'], ['allowPlaintext']],
      ({ address, allowPlaintext }) => allowPlaintext || !address.some(isPlaintext),
      PLAINTEXT_REFUSED,
    ),
    ['address'],
  ),
  v.forward(
    v.partialCheck(
      [['address'], ['auth', 'method']],
      (section) =>
        section.auth?.method !== 'cert' || section.address.every((url) => url.startsWith('https:')),
      CERT_NEEDS_TLS,
    ),
    ['address'],
  ),
  v.transform(({ address, timeout, ...rest }): VaultConnection => ({
    ...rest,
    addresses: address,
    timeoutMs: timeout,
  })),
)

/** The section `transit`; needed.ts says when `key` may be left out. */
export const transitSection = v.pipe(
  v.strictObject({
    mount: v.optional(
      mountPath('Mount of the Transit engine; it may have several segments.'),
      'transit',
    ),
    key: v.exactOptional(
      vaultName(
        'Name of the Transit key that encrypts the cluster. Pods get it only where a rule of csi.rules names it in full.',
      ),
    ),
  }),
  v.description('The Transit engine and its key.'),
  v.transform((section): TransitPlace => section),
)
