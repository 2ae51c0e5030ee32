import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { status } from '@grpc/grpc-js'

const ROOT = join(import.meta.dirname, '../..')
const IMPORT = /(?:from|import\()\s*'(\.[^']+\.ts)'/g
/** A code in the source that is not only compared with another one. */
const MADE = /(?<!== )'([A-Z]+(?:_[A-Z]+)*)'/g
/** These name codes without making errors. */
const ONLY_NAMES = new Set(['src/errors.ts', 'src/grpc/status.ts'])
const WORD = /\b[A-Z]+(?:_[A-Z]+)+\b/g

/** The error codes that a file and everything that it imports can make. */
export function codesOf(start: string): ReadonlySet<string> {
  const codes = new Set<string>()
  for (const file of importsOf(start)) {
    if (ONLY_NAMES.has(file)) continue
    const text = readFileSync(join(ROOT, file), 'utf8')
    for (const [, code = ''] of text.matchAll(MADE)) codes.add(code)
  }
  const known = declaredCodes()
  return new Set([...codes].filter((code) => known.has(code)))
}

/** All error codes. */
export function declaredCodes(): ReadonlySet<string> {
  return namesOfUnion('src/errors.ts', 'ErrorCode')
}

/** The texts of a union type in a file. */
export function namesOfUnion(file: string, type: string): ReadonlySet<string> {
  const text = readFileSync(join(ROOT, file), 'utf8')
  const from = text.indexOf(`type ${type} =`)
  const [union = ''] = /^[^]*?\n\n/.exec(text.slice(from)) ?? []
  return new Set(Array.from(union.matchAll(/\| '(\w+)'/g), ([, name = '']) => name))
}

/** Words in code quotes of a text that have the form of an error code, apart from names of gRPC statuses. */
export function codesIn(text: string): readonly string[] {
  const quoted = Array.from(text.matchAll(/`([^`\n]+)`/g), ([, words = '']) => words).join(' ')
  const words = new Set(quoted.match(WORD))
  return [...words].filter((word) => !(word in status))
}

/** A file and everything that it imports, directly or not. */
function importsOf(start: string): ReadonlySet<string> {
  const files = new Set([start])
  for (const file of files) {
    const text = readFileSync(join(ROOT, file), 'utf8')
    for (const [, path = ''] of text.matchAll(IMPORT)) files.add(join(dirname(file), path))
  }
  return files
}
