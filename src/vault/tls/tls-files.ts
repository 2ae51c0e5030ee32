import { X509Certificate, createPrivateKey } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { BridgeError } from '../../errors.ts'
import { readWithinTime } from '../../files/bounded-read.ts'
import { explainShortage, systemCodeOf } from '../../files/system-error.ts'
import { listPemBlocks } from '../../text/pem-blocks.ts'

/** The files for TLS connections to Vault, all in PEM. */
export interface TlsFiles {
  /** The only trusted certificate authorities. Default: those of Node.js. */
  readonly caFile?: string | undefined
  /** For a listener that requires a client certificate, or for the login method `cert`. Default: none. */
  readonly clientCertificate?: ClientCertificateFiles | undefined
}

export interface ClientCertificateFiles {
  readonly certFile: string
  readonly keyFile: string
  /** The part of the configuration that names the files, for messages. Default: vault.auth. */
  readonly section?: 'vault' | 'vault.auth' | undefined
}

/** What tls.connect takes. */
export interface TlsContents {
  readonly ca?: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /** The earliest end of a certificate in each file, in milliseconds since 1970. */
  readonly caExpiresAt?: number | undefined
  readonly certExpiresAt?: number | undefined
  /** When the validity of the client certificate starts, in milliseconds since 1970. */
  readonly certStartsAt?: number | undefined
}

/**
 * Reads and checks the files. Throws VAULT_TLS_INVALID with the configuration key and the file, or HOST_UNAVAILABLE if the
 * host cannot read it now.
 */
export async function readTlsFiles(files: TlsFiles): Promise<TlsContents> {
  const { caFile, clientCertificate } = files
  const authorities = caFile === undefined ? {} : await readAuthorities(caFile)
  return { ...authorities, ...(await readClientCertificate(clientCertificate)) }
}

async function readAuthorities(file: string): Promise<TlsContents> {
  const ca = await readText('vault.caFile', file)
  return { ca, caExpiresAt: earliestEnd(parseCertificates('vault.caFile', file, ca)) }
}

async function readClientCertificate(files: TlsFiles['clientCertificate']): Promise<TlsContents> {
  if (files === undefined) return {}
  const [certOption, keyOption] =
    files.section === 'vault'
      ? ['vault.clientCertFile', 'vault.clientKeyFile']
      : ['vault.auth.certFile', 'vault.auth.keyFile']
  // One after the other, so that two unreadable files are always reported the same way.
  const cert = await readText(certOption, files.certFile)
  const key = await readText(keyOption, files.keyFile)
  const certificates = parseCertificates(certOption, files.certFile, cert)
  if (!certificates[0].checkPrivateKey(parseKey(keyOption, files.keyFile, key)))
    throw invalid(keyOption, files.keyFile, `does not match ${certOption}`)
  const certStartsAt = certificates[0].validFromDate.getTime()
  return { cert, key, certStartsAt, certExpiresAt: earliestEnd(certificates) }
}

const REMEDIES: Readonly<Record<string, string>> = {
  ENOENT: 'write the file, or correct the path',
  EACCES: 'grant this user read permission on the file and its folder',
}
const OTHER_REMEDY = 'it must be a readable file'

async function readText(option: string, file: string): Promise<string> {
  try {
    return await readWithinTime(file, () => readFile(file, 'utf8'))
  } catch (error) {
    const where = `${option}: ${file}`
    if (error instanceof BridgeError)
      throw new BridgeError(error.code, `${where} ${error.message}`, { cause: error })
    const shortage = explainShortage(error)
    if (shortage !== undefined)
      throw new BridgeError('HOST_UNAVAILABLE', `${where} cannot be read now: ${shortage}`, {
        cause: error,
      })
    const code = systemCodeOf(error) ?? 'unknown error'
    throw invalid(option, file, `cannot be read (${code}); ${REMEDIES[code] ?? OTHER_REMEDY}`)
  }
}

type Certificates = readonly [X509Certificate, ...X509Certificate[]]

function earliestEnd(certificates: Certificates): number {
  return Math.min(...certificates.map(({ validToDate }) => validToDate.getTime()))
}

/** Parses all certificates: tls.createSecureContext silently accepts a text without any. */
function parseCertificates(option: string, file: string, text: string): Certificates {
  const blocks = listPemBlocks(text, /-----BEGIN (?:TRUSTED )?CERTIFICATE-----/g)
  try {
    const [first, ...others] = blocks.map((block) => new X509Certificate(block))
    if (first !== undefined) return [first, ...others]
  } catch {
    throw invalid(option, file, 'contains an invalid certificate')
  }
  throw invalid(option, file, 'contains no PEM certificate')
}

function parseKey(option: string, file: string, text: string): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(text)
  } catch {
    // Without the cause, which may reveal details of the key.
    throw invalid(option, file, 'contains no PEM private key without a passphrase')
  }
}

function invalid(option: string, file: string, problem: string): BridgeError {
  return new BridgeError('VAULT_TLS_INVALID', `${option}: ${file} ${problem}`)
}
