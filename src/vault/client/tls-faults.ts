import type { TlsMaterial } from '../tls/tls-material.ts'
import { AttemptFailure } from './attempt.ts'

/** Until the files are valid for the first time, they are read before each request, which fails while they are invalid. */
export async function readFirst(tls: TlsMaterial): Promise<AttemptFailure | undefined> {
  await tls.refresh()
  const { contents, problem } = tls
  if (contents !== undefined || problem === undefined) return undefined
  return new AttemptFailure(problem, problem.code === 'HOST_UNAVAILABLE' ? 'soon' : 'elsewhere')
}

/** Reads the files again after a failure that they may have caused. With other files, the request is tried again at once. */
export async function readAgain(
  tls: TlsMaterial,
  failure: AttemptFailure,
  versionBefore: number | undefined,
): Promise<AttemptFailure> {
  const { code } = failure.error
  if (code === 'VAULT_TLS_INVALID') {
    await tls.refresh()
    return tls.version === versionBefore ? failure : new AttemptFailure(failure.error, 'at-once')
  }
  if (code === 'VAULT_UNREACHABLE') {
    const reading = tls.refresh()
    // A server may close the connection instead of saying that it refuses our certificate.
    if (failure.retry === 'at-once') await reading
  }
  return failure
}
