/** A scalar as Go's YAML decoder resolves it. Whole numbers over 2^53 lose digits; no field that is read is that long. */
export type GoScalar = string | number | boolean | null

const WORDS: ReadonlyMap<string, GoScalar> = new Map<string, GoScalar>([
  ...list('y Y yes Yes YES true True TRUE on On ON', true),
  ...list('n N no No NO false False FALSE off Off OFF', false),
  ...list('~ null Null NULL', null),
  ['', null],
  ...list('.nan .NaN .NAN', NaN),
  ...list('.inf .Inf .INF +.inf +.Inf +.INF', Infinity),
  ...list('-.inf -.Inf -.INF', -Infinity),
])

function list(words: string, value: GoScalar): readonly (readonly [string, GoScalar])[] {
  return words.split(' ').map((word) => [word, value] as const)
}

const TAG = 'tag:yaml.org,2002:'
const RESOLVED_TAGS: readonly string[] = ['bool', 'int', 'float', 'null', 'timestamp']
const TIMESTAMP =
  /^\d{4}-\d{1,2}-\d{1,2}(?:[Tt ]\d{1,2}:\d{1,2}:\d{1,2}(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)?)?$/

/**
 * Resolves an untagged plain scalar, or a scalar with a tag (yaml.v2: resolve.go). Undefined if it does not fit its tag.
 */
export function resolveGoScalar(text: string, tag: string | undefined): GoScalar | undefined {
  if (tag === undefined) return resolvePlain(text)
  if (tag === `${TAG}binary`) return decodeBinary(text)
  const kind = tag.startsWith(TAG) ? tag.slice(TAG.length) : ''
  if (!RESOLVED_TAGS.includes(kind)) return text
  if (kind === 'timestamp') return TIMESTAMP.test(text) ? text : undefined
  const value = resolvePlain(text)
  return fits(value, kind) ? value : undefined
}

function fits(value: GoScalar, kind: string): boolean {
  if (kind === 'null') return value === null
  if (kind === 'bool') return typeof value === 'boolean'
  if (typeof value !== 'number') return false
  return kind === 'float' || Number.isInteger(value)
}

function resolvePlain(text: string): GoScalar {
  const word = WORDS.get(text)
  if (word !== undefined) return word
  return /^[-+.0-9]/.test(text) ? (readNumber(text) ?? text) : text
}

const DECIMAL = /^[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?$/
const INTEGER = /^([-+]?)(?:0[xX]([\dA-Fa-f]+)|0[oO]?([0-7]+)|0[bB]([01]+)|(0|[1-9]\d*))$/

function readNumber(text: string): number | undefined {
  const plain = text.startsWith('.') ? text : text.replaceAll('_', '')
  const [, sign, hex, octal, binary, decimal] = INTEGER.exec(plain) ?? []
  const digits =
    (hex && `0x${hex}`) ?? (octal && `0o${octal}`) ?? (binary && `0b${binary}`) ?? decimal
  if (digits !== undefined) return sign === '-' ? -Number(digits) : Number(digits)
  if (!DECIMAL.test(plain)) return undefined
  const value = Number(plain)
  return Number.isFinite(value) ? value : undefined
}

function decodeBinary(text: string): string | undefined {
  const plain = text.replaceAll(/[\r\n]/g, '')
  return isBase64(plain) ? Buffer.from(plain, 'base64').toString('utf8') : undefined
}

/** Whether Go's base64.StdEncoding decodes it, which ignores line breaks. */
export function isBase64(text: string): boolean {
  const plain = text.replaceAll(/[\r\n]/g, '')
  return /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(plain)
}
