const TOKEN =
  /[ \t\r\n]*(?:("(?:[^"\\\p{Cc}]|\x7F|[\x80-\x9F]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")|(-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)|([{}[\],:])|$)/uy

type Expected = 'value' | 'value or ]' | 'key' | 'key or }' | ':' | ', or }' | ', or ]' | 'end'

/** Where a text stops being JSON (RFC 8259), as an offset; undefined if all of it is JSON. */
export function findJsonError(text: string): number | undefined {
  const scanner = new Scanner()
  TOKEN.lastIndex = 0
  for (;;) {
    const start = TOKEN.lastIndex
    const match = TOKEN.exec(text)
    if (match === null) return skipSpace(text, start)
    const [, string, literal, mark] = match
    const token =
      mark ?? (string === undefined ? (literal === undefined ? 'end' : 'value') : 'string')
    if (!scanner.accepts(token)) return skipSpace(text, start)
    if (token === 'end') return undefined
  }
}

function skipSpace(text: string, start: number): number {
  return start + (/^[ \t\r\n]*/.exec(text.slice(start))?.[0].length ?? 0)
}

/** The grammar of JSON, token by token. */
class Scanner {
  readonly #open: ('{' | '[')[] = []
  #expected: Expected = 'value'

  accepts(token: string): boolean {
    const next = this.#next(token)
    if (next === undefined) return false
    this.#expected = next
    return true
  }

  #next(token: string): Expected | undefined {
    switch (this.#expected) {
      case 'end':
        return token === 'end' ? 'end' : undefined
      case ':':
        return token === ':' ? 'value' : undefined
      case 'key':
      case 'key or }':
        if (token === '}' && this.#expected === 'key or }') return this.#close()
        return token === 'string' ? ':' : undefined
      case ', or }':
        if (token === '}') return this.#close()
        return token === ',' ? 'key' : undefined
      case ', or ]':
        if (token === ']') return this.#close()
        return token === ',' ? 'value' : undefined
      case 'value':
      case 'value or ]':
        if (token === ']' && this.#expected === 'value or ]') return this.#close()
        return this.#value(token)
    }
  }

  #value(token: string): Expected | undefined {
    if (token === '{' || token === '[') {
      this.#open.push(token)
      return token === '{' ? 'key or }' : 'value or ]'
    }
    return token === 'string' || token === 'value' ? this.#after() : undefined
  }

  #close(): Expected {
    this.#open.pop()
    return this.#after()
  }

  #after(): Expected {
    const container = this.#open.at(-1)
    if (container === undefined) return 'end'
    return container === '{' ? ', or }' : ', or ]'
  }
}
