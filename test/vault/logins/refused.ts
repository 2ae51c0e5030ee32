import type { Test } from 'tap'

/** The message of a login that was refused; the test fails when it was not. */
export async function refusedMessage(t: Test, login: Promise<unknown>): Promise<string> {
  const thrown: unknown = await login.then(
    () => new Error('the login worked'),
    (error: unknown) => error,
  )
  t.match(thrown, { code: 'LOGIN_REFUSED', cause: { name: 'BridgeError' } })
  return thrown instanceof Error ? thrown.message : 'not an error'
}
