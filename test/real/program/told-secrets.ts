/** Forms of secrets that no output may contain. */
const FORMS: readonly (readonly [string, RegExp])[] = [
  ['a Vault token', /\b(?:hv[sbr]|[sbr])\.(?=[A-Za-z_-]*\d)[A-Za-z0-9_-]{24,}/],
  ['a JWT', /\beyJ[A-Za-z0-9_-]{12,}/],
  ['a Transit ciphertext', /vault:v\d+:[A-Za-z0-9+/]{12,}/],
]

/** This many characters of a secret prove that it was disclosed; shorter secrets are not searched for. */
const TELLING = 12

const beginnings = new Set<string>()
const said: string[] = []

/** Remembers a secret that a test used, in the forms in which a program could print it. */
export function rememberSecret(secret: string | Uint8Array): void {
  const bytes = Buffer.from(secret)
  if (bytes.length < TELLING) return
  for (const form of ['latin1', 'utf8', 'base64', 'base64url', 'hex'] as const) {
    beginnings.add(bytes.toString(form).slice(0, TELLING))
  }
  beginnings.add(bytes.join(',').slice(0, TELLING))
}

/** Remembers what the program returned to a caller, which is searched with the rest. */
export function rememberSaid(text: string): void {
  said.push(text)
}

/** Throws if `text`, or anything that was returned to a caller so far, contains a secret. */
export function requireNoSecret(where: string, text: string): void {
  const fault = findSecret(text) ?? findSecret(said.join('\n'))
  if (fault !== undefined) throw new Error(`${where} contains ${fault}`)
}

/** The kind of secret in a text, with the words before it; undefined if there is none. The secret itself is not repeated. */
export function findSecret(text: string): string | undefined {
  for (const [name, form] of FORMS) {
    const at = text.search(form)
    if (at !== -1) return `${name}, after ${JSON.stringify(text.slice(Math.max(0, at - 80), at))}`
  }
  for (let at = 0; at + TELLING <= text.length; at += 1) {
    if (beginnings.has(text.slice(at, at + TELLING))) {
      return `a secret of this test, after ${JSON.stringify(text.slice(Math.max(0, at - 80), at))}`
    }
  }
  return undefined
}
