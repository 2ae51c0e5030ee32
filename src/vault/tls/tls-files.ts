import { X509Certificate, createPrivateKey } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { BridgeError } from '../../errors.ts'

/** Files that TLS to Vault is set up from. All are PEM. */
export interface TlsFiles {
  /** Certificates of the authorities that are trusted, and then only these. Default: those of Node. */
  readonly caFile?: string | undefined
  /** What Vault knows us by, for the login method `cert` or a listener that requires one. Default: none. */
  readonly clientCertificate?: { readonly certFile: string; readonly keyFile: string } | undefined
}

/** What tls.connect takes. */
export interface TlsContents {
  readonly ca?: string
  readonly cert?: string
  readonly key?: string
}

/** Reads and checks the files. Throws VAULT_TLS_INVALID that names the configuration key and the file. */
export async function readTlsFiles(files: TlsFiles): Promise<TlsContents> {
  const ca = files.caFile === undefined ? {} : { ca: await readAuthorities(files.caFile) }
  return { ...ca, ...(await readClientCertificate(files.clientCertificate)) }
}

async function readAuthorities(file: string): Promise<string> {
  const text = await readText('vault.caFile', file)
  parseCertificates('vault.caFile', file, text)
  return text
}

async function readClientCertificate(files: TlsFiles['clientCertificate']): Promise<TlsContents> {
  if (files === undefined) return {}
  const [cert, key] = await Promise.all([
    readText('vault.auth.certFile', files.certFile),
    readText('vault.auth.keyFile', files.keyFile),
  ])
  const certificate = parseCertificates('vault.auth.certFile', files.certFile, cert)
  if (!certificate.checkPrivateKey(parseKey(files.keyFile, key))) {
    throw invalid('vault.auth.keyFile', files.keyFile, 'does not belong to vault.auth.certFile')
  }
  return { cert, key }
}

async function readText(option: string, file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    throw invalid(option, file, `cannot be read (${code})`)
  }
}

/** The first certificate, after all were parsed: tls.createSecureContext takes a text without any in silence. */
function parseCertificates(option: string, file: string, text: string): X509Certificate {
  const blocks = text.match(/-----BEGIN (?:TRUSTED )?CERTIFICATE-----[^]*?-----END [A-Z ]+-----/g)
  try {
    const [first] = (blocks ?? []).map((block) => new X509Certificate(block))
    if (first !== undefined) return first
  } catch {
    throw invalid(option, file, 'holds a broken certificate')
  }
  throw invalid(option, file, 'holds no PEM certificate')
}

function parseKey(file: string, text: string): ReturnType<typeof createPrivateKey> {
  try {
    return createPrivateKey(text)
  } catch {
    // Without the cause: it says more about the key than a log should hold.
    throw invalid('vault.auth.keyFile', file, 'holds no PEM private key without a passphrase')
  }
}

function invalid(option: string, file: string, problem: string): BridgeError {
  return new BridgeError('VAULT_TLS_INVALID', `${option}: ${file} ${problem}`)
}
