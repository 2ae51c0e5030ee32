import { X509Certificate } from 'node:crypto'

import type { ClientCertificate } from '../config/config.ts'
import { readTlsFiles } from '../vault/tls/tls-files.ts'
import { checkCertificateLife } from './certificate-life.ts'
import { fail, wordsOf, type Finding } from './finding.ts'
import { checkSecretFile } from './host-file.ts'
import { checkPathRights } from './path-rights.ts'

const WHAT = 'client certificate'

/** The certificate that connections to Vault present, with any login method. */
export async function checkClientCertificate(
  files: ClientCertificate | undefined,
  now: number,
  owners: readonly number[],
): Promise<readonly Finding[]> {
  if (files === undefined) return []
  const { certFile, keyFile } = files
  const key = [
    await checkSecretFile(WHAT, keyFile),
    ...(await checkPathRights(WHAT, keyFile, owners)),
    ...(await checkPathRights(WHAT, certFile, owners)),
  ]
  try {
    const { cert = '' } = await readTlsFiles({ clientCertificate: files })
    return [...key, judge(certFile, new X509Certificate(cert), now)]
  } catch (thrown) {
    return [...key, fail(WHAT, wordsOf(thrown))]
  }
}

function judge(file: string, { subject, validFrom, validTo }: X509Certificate, now: number) {
  const label = `${file} (${JSON.stringify(subject.replaceAll('\n', ', '))})`
  if (Date.parse(validFrom) > now)
    return fail(WHAT, `${label} is not valid before ${validFrom}`, 'check the clock of this host')
  return checkCertificateLife(WHAT, label, Date.parse(validTo), now)
}
