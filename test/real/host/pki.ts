import { webcrypto } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
// The x509 library's own dependency looks for it when it is loaded.
import 'reflect-metadata'
import * as x509 from '@peculiar/x509'
import { tempFolder } from './temp-folder.ts'

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

export type CertificateFiles = { certFile: string; keyFile: string; caFile: string }

export type Validity = {
  /** Seconds from now at which it ends; negative for one that has expired. Default: a day. */
  expiresIn?: number
}

/** A private certificate authority. Its files are in a separate folder, which is removed when the process ends. */
export class CertificateAuthority {
  readonly caFile: string
  readonly caPem: string
  readonly folder: string
  readonly #certificate: x509.X509Certificate
  readonly #key: CryptoKey

  static async create(
    name = 'transit-bridge test CA',
    lasting: Validity = {},
  ): Promise<CertificateAuthority> {
    x509.cryptoProvider.set(webcrypto)
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
    const certificate = await x509.X509CertificateGenerator.createSelfSigned({
      serialNumber: serialNumber(),
      name: `CN=${name}`,
      ...validity(lasting),
      keys,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
          true,
        ),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      ],
    })
    const authority = new CertificateAuthority(certificate, keys.privateKey)
    await writeFile(authority.caFile, authority.caPem)
    return authority
  }

  private constructor(certificate: x509.X509Certificate, key: CryptoKey) {
    this.#certificate = certificate
    this.#key = key
    this.caPem = `${certificate.toString('pem')}\n`
    this.folder = tempFolder('pki')
    this.caFile = join(this.folder, 'ca.pem')
  }

  /**
   * Issues a certificate for 127.0.0.1, localhost and `names`, as `<name>.pem` and `<name>.key`. The same
   * name again replaces the files, each in one step: a renewal under a running server.
   */
  async server(
    name = 'server',
    { names = [], ...rest }: Validity & { names?: string[] } = {},
  ): Promise<CertificateFiles> {
    const alternatives: x509.JsonGeneralName[] = [
      { type: 'ip', value: '127.0.0.1' },
      { type: 'dns', value: 'localhost' },
      ...names.map((value) => ({ type: isAddress(value) ? 'ip' : 'dns', value }) as const),
    ]
    return this.#issue(name, `CN=${name}`, rest, [
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(alternatives),
    ])
  }

  /** Issues a client certificate; `organization` is the group where Kubernetes reads it. */
  async client(
    commonName: string,
    { organization, ...rest }: Validity & { organization?: string } = {},
  ): Promise<CertificateFiles> {
    const subject = organization === undefined ? '' : `, O=${organization}`
    return this.#issue(commonName.replace(/[^\w.-]/g, '_'), `CN=${commonName}${subject}`, rest, [
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
    ])
  }

  /** Issues an X.509-SVID as SPIRE does: its common name is the first DNS name of the entry, if there is one. */
  async svid(id: string, dnsName?: string): Promise<CertificateFiles> {
    const commonName = dnsName === undefined ? '' : `, CN=${dnsName}`
    return this.#issue(id.replace(/[^\w.-]/g, '_'), `C=US, O=SPIRE${commonName}`, {}, [
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: id }]),
    ])
  }

  /** Issues a certificate for a certificate request, and returns it with the authority's certificate, in PEM. */
  async chainFor(request: string): Promise<string> {
    const { publicKey, subject } = new x509.Pkcs10CertificateRequest(request)
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject: subject === '' ? 'CN=of a request' : subject,
      issuer: this.#certificate.subject,
      ...validity({}),
      publicKey,
      signingKey: this.#key,
      signingAlgorithm: algorithm,
    })
    return `${certificate.toString('pem')}\n${this.caPem}`
  }

  async #issue(
    file: string,
    subject: string,
    until: Validity,
    extensions: x509.Extension[],
  ): Promise<CertificateFiles> {
    const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
    const certificate = await x509.X509CertificateGenerator.create({
      serialNumber: serialNumber(),
      subject,
      issuer: this.#certificate.subject,
      ...validity(until),
      publicKey: keys.publicKey,
      signingKey: this.#key,
      signingAlgorithm: algorithm,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        await x509.AuthorityKeyIdentifierExtension.create(this.#certificate.publicKey),
        ...extensions,
      ],
    })
    const key = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)
    const certFile = join(this.folder, `${file}.pem`)
    const keyFile = join(this.folder, `${file}.key`)
    await replace(keyFile, x509.PemConverter.encode(key, 'PRIVATE KEY'))
    await replace(certFile, certificate.toString('pem'))
    return { certFile, keyFile, caFile: this.caFile }
  }
}

async function replace(file: string, text: string): Promise<void> {
  mkdirSync(dirname(file), { recursive: true })
  await writeFile(`${file}.new`, `${text}\n`, { mode: 0o600 })
  await rename(`${file}.new`, file)
}

function validity({ expiresIn = 86_400 }: Validity): { notBefore: Date; notAfter: Date } {
  const now = Date.now()
  const notAfter = now + expiresIn * 1000
  // Some minutes back, so that a clock that was just set does not matter.
  return { notBefore: new Date(Math.min(now, notAfter) - 300_000), notAfter: new Date(notAfter) }
}

function serialNumber(): string {
  const bytes = webcrypto.getRandomValues(Buffer.alloc(16))
  // A serial number is positive and has no leading zero.
  bytes[0] = (bytes.readUInt8(0) & 0x3f) | 0x40
  return bytes.toString('hex')
}

function isAddress(name: string): boolean {
  return /^[\d.]+$/.test(name) || name.includes(':')
}
