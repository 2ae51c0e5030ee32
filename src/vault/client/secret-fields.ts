import { decodeBase64 } from '../../text/base64-bytes.ts'
import { allocateSecret } from '../../text/secret-bytes.ts'
import type { VaultOperation } from './request.ts'

/** Where Transit's answers hold secrets, as Go's encoding/json writes them: without spaces. */
const PLAINTEXT = Buffer.from('"plaintext":"')
const EXPORTED_KEYS = Buffer.from('"keys":{"')
const NAME_END = Buffer.from('":"')
const [QUOTE, SPACE, BACKSLASH, COMMA] = [0x22, 0x20, 0x5c, 0x2c]
const [LETTER_N, NEWLINE] = [0x6e, 0x0a]
/** Precedes the index of a secret that was taken out. Neither base64 nor PEM contains it. */
const MARK = '#'

/** An answer whose secrets were taken out of its text. */
export interface SealedText {
  /** JSON, with a mark in place of each secret. */
  readonly text: string
  readonly secrets: readonly Buffer[]
}

/**
 * Takes plaintexts (decoded) and exported keys (as text) out of the bytes of an answer before these become a string,
 * which cannot be zeroed. The bytes are zeroed. A secret that is written in another way stays in the text.
 */
export function takeSecrets(bytes: Buffer, operation: VaultOperation): SealedText {
  const secrets: Buffer[] = []
  if (operation === 'decrypt') takePlaintexts(bytes, secrets)
  if (operation === 'export_key') takeExportedKeys(bytes, secrets)
  const text = bytes.toString('utf8')
  bytes.fill(0)
  return { text, secrets }
}

/** Neither the name of the field nor base64 contains a quote or a backslash, so what is found is a string of JSON. */
function takePlaintexts(bytes: Buffer, secrets: Buffer[]): void {
  for (let at = bytes.indexOf(PLAINTEXT); at >= 0; at = bytes.indexOf(PLAINTEXT, at)) {
    at += PLAINTEXT.length
    const end = bytes.indexOf(QUOTE, at)
    if (end >= 0) replace(bytes, at, end, decodeBase64(bytes.subarray(at, end)), secrets)
  }
}

/** `"keys":{"1":"...","2":"..."}` */
function takeExportedKeys(bytes: Buffer, secrets: Buffer[]): void {
  let at = bytes.indexOf(EXPORTED_KEYS)
  if (at < 0) return
  at += EXPORTED_KEYS.length - 1
  while (bytes[at] === QUOTE) {
    const nameEnd = bytes.indexOf(QUOTE, at + 1)
    if (nameEnd < 0 || !bytes.subarray(nameEnd, nameEnd + NAME_END.length).equals(NAME_END)) return
    const from = nameEnd + NAME_END.length
    const end = bytes.indexOf(QUOTE, from)
    if (end < 0) return
    const next = bytes[end + 1] === COMMA ? end + 2 : bytes.length
    replace(bytes, from, end, unescapeLines(bytes.subarray(from, end)), secrets)
    at = next
  }
}

/** PEM in JSON has no escapes but newlines. Undefined for any other text. */
function unescapeLines(text: Buffer): Buffer | undefined {
  const plain = allocateSecret(text.length)
  let length = 0
  for (let at = 0; at < text.length; at += 1) {
    const isEscape = text[at] === BACKSLASH
    if (isEscape && text[at + 1] !== LETTER_N) {
      plain.fill(0)
      return undefined
    }
    plain[length++] = isEscape ? NEWLINE : (text[at] ?? 0)
    if (isEscape) at += 1
  }
  return plain.subarray(0, length)
}

/** Puts a mark in place of a string's content; JSON allows the spaces after its new end. */
function replace(
  bytes: Buffer,
  from: number,
  end: number,
  secret: Buffer | undefined,
  secrets: Buffer[],
): void {
  if (secret === undefined) return
  const mark = `${MARK}${String(secrets.length)}"`
  if (mark.length > end + 1 - from) {
    secret.fill(0)
    return
  }
  secrets.push(secret)
  bytes.fill(SPACE, from, end + 1)
  bytes.write(mark, from)
}

/** Parses the text. Its secrets are Buffers, which the receiver owns and zeroes. */
export function parseSealed({ text, secrets }: SealedText): unknown {
  const body: unknown = JSON.parse(text)
  if (secrets.length === 0) return body
  const data = fieldOf(body, 'data')
  const results = fieldOf(data, 'batch_results')
  for (const item of [data, ...(Array.isArray(results) ? (results as unknown[]) : [])])
    putBack(item, ['plaintext'], secrets)
  const keys = fieldOf(data, 'keys')
  if (isObject(keys)) putBack(keys, Object.keys(keys), secrets)
  return body
}

function putBack(parent: unknown, names: readonly string[], secrets: readonly Buffer[]): void {
  if (!isObject(parent)) return
  for (const name of names) {
    const value = parent[name]
    if (typeof value !== 'string' || !value.startsWith(MARK)) continue
    parent[name] = secrets[Number(value.slice(MARK.length))]
  }
}

function fieldOf(parent: unknown, name: string): unknown {
  return isObject(parent) ? parent[name] : undefined
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
