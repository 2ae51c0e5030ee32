import { describeDuration } from '../time/duration.ts'
import { fail, ok, warn, type Finding } from './finding.ts'

const DAY_MS = 24 * 3600_000
/** A new certificate may take weeks to get. */
const CERTIFICATE_SOON_MS = 21 * DAY_MS

/** The name of a certificate and the time until which it is valid, in milliseconds since 1970. */
export interface CertificateLife {
  readonly name: string
  readonly expiresAt: number
}

/** `label` identifies the certificate in the finding. */
export function checkCertificateLife(
  what: string,
  label: string,
  expiresAt: number,
  now: number,
): Finding {
  const leftMs = expiresAt - now
  if (leftMs <= 0)
    return fail(what, `${label} expired ${describeDuration(-leftMs)} ago`, 'renew it')
  const why = `${label} expires in ${describeDuration(leftMs)}`
  if (leftMs > CERTIFICATE_SOON_MS) return ok(what, why)
  return warn(what, why, 'renew it; running programs notice the new file')
}
