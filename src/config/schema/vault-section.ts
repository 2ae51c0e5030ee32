import * as v from 'valibot'

import type {
  AuthConfig,
  ClientCertificate,
  ProviderTransitConfig,
  VaultConnection,
} from '../config.ts'
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
function mountKeys(mount: string) {
  return {
    mount: v.optional(authMount('Mount of the auth method, without auth/.'), mount),
    namespace: v.exactOptional(loginNamespace),
  }
}

const loginNamespace = namespace('Namespace of the login, if it differs from vault.namespace.')

const tokenFile = filePath(
  'File with the service-account token; with method token, with a Vault token. It is read again when it is needed.',
)

const serviceAccount = {
  role: vaultName('Role of the auth method to log in as.'),
  tokenFile,
  audience: v.exactOptional(claim('Expected audience of the token; used to explain a refusal.')),
  issuer: v.exactOptional(claim('Expected issuer of the token; used to explain a refusal.')),
}

const loginCertFile = filePath(
  'File with the client certificate and its chain, in PEM. Required with method cert; with other methods the same as vault.clientCertFile.',
)
const loginKeyFile = filePath(
  'File with the private key of vault.auth.certFile, in PEM without a passphrase.',
)
/** Accepted with every login method, because the error of a TLS handshake used to ask for them here. */
const clientFiles = {
  certFile: v.exactOptional(loginCertFile),
  keyFile: v.exactOptional(loginKeyFile),
}

const auth = v.pipe(
  v.variant('method', [
    v.strictObject({
      method: v.optional(method('jwt'), 'jwt'),
      ...mountKeys('jwt'),
      ...serviceAccount,
      ...clientFiles,
    }),
    v.strictObject({
      method: method('kubernetes'),
      ...mountKeys('kubernetes'),
      ...serviceAccount,
      ...clientFiles,
    }),
    v.strictObject({
      method: method('approle'),
      ...mountKeys('approle'),
      roleIdFile: filePath('File with the role id.'),
      secretIdFile: filePath('File with the secret id; it is read again for every login.'),
      ...clientFiles,
    }),
    v.strictObject({
      method: method('cert'),
      ...mountKeys('cert'),
      role: v.exactOptional(vaultName('Role of the auth method to log in as.')),
      certFile: loginCertFile,
      keyFile: loginKeyFile,
    }),
    v.strictObject({
      method: method('token'),
      tokenFile,
      namespace: v.exactOptional(loginNamespace),
      ...clientFiles,
    }),
  ]),
  v.description(
    'How the program logs in to Vault. The CSI provider does not use it: pods log in with csi.auth.',
  ),
)

const PLAINTEXT_REFUSED =
  'is http:// to another host, so the token and all decrypted data could be read in transit; ' +
  'use https://, or set vault.allowPlaintext: true if another layer encrypts'
const CERT_NEEDS_TLS =
  'must be https:// if a client certificate is set, because it is part of the TLS handshake'

/** The section `vault`; ../required-keys.ts defines when `auth` is optional. */
export const vaultSection = v.pipe(
  v.strictObject({
    address: addresses,
    namespace: v.exactOptional(
      namespace('Namespace of the Transit engine, in Vault Enterprise or OpenBao.'),
    ),
    caFile: v.exactOptional(
      filePath(
        'File with the CA certificates for Vault, in PEM. By default the ones built into Node.js.',
      ),
    ),
    clientCertFile: v.exactOptional(
      filePath(
        'File with the client certificate and its chain, in PEM, for a Vault listener that requires one. It is independent of the login method; with method cert, set vault.auth.certFile instead.',
      ),
    ),
    clientKeyFile: v.exactOptional(
      filePath('File with the private key of vault.clientCertFile, in PEM without a passphrase.'),
    ),
    serverName: v.exactOptional(
      hostName('Name in the certificate of Vault, if it differs from the host of the address.'),
    ),
    timeout: v.optional(
      duration('Timeout of one request to Vault, within the deadline of the call.', '100ms', '8s'),
      '2s',
    ),
    allowPlaintext: v.optional(
      toggle('Whether http:// to another host is allowed. To loopback it is always allowed.'),
      false,
    ),
    auth: v.exactOptional(auth),
  }),
  v.description('The address of Vault or OpenBao, and the login.'),
  v.forward(
    v.partialCheck(
      [['address'], ['allowPlaintext']],
      ({ address, allowPlaintext }) => allowPlaintext || !address.some(isPlaintext),
      PLAINTEXT_REFUSED,
    ),
    ['address'],
  ),
  v.forward(
    v.check(
      (section) =>
        findClientCertificate(section) === undefined ||
        section.address.every((url) => url.startsWith('https:')),
      CERT_NEEDS_TLS,
    ),
    ['address'],
  ),
  v.forward(
    v.check(
      (section) => !isHalf(section.clientCertFile, section.clientKeyFile),
      'requires vault.clientKeyFile, and vice versa; set both or neither',
    ),
    ['clientCertFile'],
  ),
  v.forward(
    v.check(
      ({ auth: login }) => !isHalf(login?.certFile, login?.keyFile),
      'has only one of certFile and keyFile; set both or neither',
    ),
    ['auth'],
  ),
  v.forward(
    v.check(
      (section) => section.clientCertFile === undefined || section.auth?.certFile === undefined,
      'is also set as vault.auth.certFile; Vault sees one client certificate, so remove one of them',
    ),
    ['clientCertFile'],
  ),
  v.transform((section): VaultConnection => toConnection(section)),
)

interface ClientFiles {
  readonly certFile?: string
  readonly keyFile?: string
}

interface CertificateSettings {
  readonly clientCertFile?: string
  readonly clientKeyFile?: string
  readonly auth?: ClientFiles
}

/** Whether exactly one of two is set. */
function isHalf(one: string | undefined, other: string | undefined): boolean {
  return (one === undefined) !== (other === undefined)
}

function findClientCertificate(section: CertificateSettings): ClientCertificate | undefined {
  const { clientCertFile, clientKeyFile, auth: login } = section
  if (clientCertFile !== undefined && clientKeyFile !== undefined)
    return { certFile: clientCertFile, keyFile: clientKeyFile, section: 'vault' }
  if (login?.certFile !== undefined && login.keyFile !== undefined)
    return { certFile: login.certFile, keyFile: login.keyFile, section: 'vault.auth' }
  return undefined
}

type Auth = v.InferOutput<typeof auth>
type Section = CertificateSettings & {
  readonly address: readonly string[]
  readonly timeout: number
  readonly allowPlaintext: boolean
  readonly namespace?: string
  readonly caFile?: string
  readonly serverName?: string
  readonly auth?: Auth
}

function toConnection(section: Section): VaultConnection {
  const {
    address,
    timeout,
    clientCertFile: _cert,
    clientKeyFile: _key,
    auth: login,
    ...rest
  } = section
  return {
    ...rest,
    addresses: address,
    timeoutMs: timeout,
    auth: login && toLogin(login),
    clientCertificate: findClientCertificate(section),
  }
}

/** A client certificate is part of the login only with method cert. */
function toLogin(login: Auth): AuthConfig {
  if (login.method === 'cert') return login
  const { certFile: _cert, keyFile: _key, ...rest } = login
  return rest
}

/** The section `transit`; ../required-keys.ts defines when `key` is optional. */
export const transitSection = v.pipe(
  v.strictObject({
    mount: v.optional(
      mountPath('Mount of the Transit engine; it may have several segments.'),
      'transit',
    ),
    key: v.exactOptional(
      vaultName(
        'Name of the Transit key that encrypts the cluster. Pods can use it only if a rule of csi.rules contains its full name.',
      ),
    ),
  }),
  v.description('The Transit engine and its key.'),
  v.transform((section): ProviderTransitConfig => section),
)
