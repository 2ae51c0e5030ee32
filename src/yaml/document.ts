import { Composer, Lexer, Parser, YAMLParseError } from 'yaml'
import type { CST, Document, DocumentOptions, LineCounter, ParseOptions, SchemaOptions } from 'yaml'
import type { Parts } from '../time/parts.ts'
import { withoutStacks } from './parser-errors.ts'

/** Lexemes in one part: a few milliseconds. */
const LEXEMES_AT_ONCE = 2_000

type Options = ParseOptions & DocumentOptions & SchemaOptions

/**
 * The library's parseDocument in parts, without its pretty errors
 * (https://github.com/eemeli/yaml/blob/main/src/public-api.ts).
 */
export function* composeInParts(
  text: string,
  lines: LineCounter,
  options: Options,
): Parts<Document.Parsed> {
  const tokens = yield* parseInParts(text, lines)
  yield
  return withoutStacks(() => {
    const composer = new Composer(options)
    const [document, next] = composer.compose(tokens, true, text.length)
    if (document === undefined) throw new TypeError('the composer returned no document')
    if (next !== undefined) {
      const [start, end] = next.range
      document.errors.push(new YAMLParseError([start, end], 'MULTIPLE_DOCS', 'several documents'))
    }
    return document
  })
}

/** Parser.parse of the library. */
function* parseInParts(text: string, lines: LineCounter): Parts<CST.Token[]> {
  lines.addNewLine(0)
  const parser = new Parser(lines.addNewLine)
  const lexemes = new Lexer().lex(text)
  const tokens: CST.Token[] = []
  while (withoutStacks(() => parseSome(lexemes, parser, tokens))) yield
  tokens.push(...withoutStacks(() => [...parser.end()]))
  return tokens
}

/** Returns whether there may be more. */
function parseSome(lexemes: Iterator<string>, parser: Parser, tokens: CST.Token[]): boolean {
  for (let count = 0; count < LEXEMES_AT_ONCE; count += 1) {
    const next = lexemes.next()
    if (next.done === true) return false
    for (const token of parser.next(next.value)) tokens.push(token)
  }
  return true
}
