import { BridgeError } from '../../errors.ts'

/** What a policy grants: capabilities by path. */
export type Grants = ReadonlyMap<string, Grant>

export interface Grant {
  readonly capabilities: readonly string[]
  /** Names of the settings beside the capabilities, such as allowed_parameters. */
  readonly limits: readonly string[]
}

/** The policies that preceded capabilities (vault/policy.go, oldDenyPathPolicy and others). */
const OLD_WORDS: Readonly<Record<string, readonly string[]>> = {
  deny: ['deny'],
  read: ['read', 'list'],
  write: ['create', 'read', 'update', 'delete', 'list'],
  sudo: ['create', 'read', 'update', 'delete', 'list', 'sudo'],
}

/** Reads a policy in HCL or JSON; undefined if it has a form that this reader does not know. */
export function readGrants(text: string): Grants | undefined {
  try {
    return text.trimStart().startsWith('{') ? readJson(text) : new Reader(text).readAll()
  } catch (thrown) {
    if (thrown instanceof SyntaxError) return undefined
    throw BridgeError.from(thrown)
  }
}

function readJson(text: string): Grants {
  const { path } = JSON.parse(text) as { readonly path?: unknown }
  if (typeof path !== 'object' || path === null) throw new SyntaxError('no path')
  return new Map(Object.entries(path).map(([name, fields]) => [name, toGrant(fields as Fields)]))
}

type Fields = Readonly<Record<string, unknown>>

function toGrant(fields: Fields): Grant {
  const { capabilities, policy, ...limits } = fields
  const old = typeof policy === 'string' ? (OLD_WORDS[policy] ?? [policy]) : []
  const listed = Array.isArray(capabilities) ? capabilities.map(String) : []
  return { capabilities: [...new Set([...listed, ...old])].toSorted(), limits: Object.keys(limits) }
}

const TOKEN =
  /\s+|#[^\n]*|\/\/[^\n]*|\/\*[^]*?\*\/|("(?:[^"\\]|\\.)*")|([A-Za-z_][\w-]*)|(-?\d+)|([{}[\],=:])/y

/** Reads the part of HCL that policies use. */
class Reader {
  readonly #tokens: string[] = []
  #at = 0

  constructor(text: string) {
    const pattern = new RegExp(TOKEN)
    while (pattern.lastIndex < text.length) {
      const found = pattern.exec(text)
      if (found === null) throw new SyntaxError('not HCL')
      const token = found.slice(1).find((part) => part !== undefined)
      if (token !== undefined) this.#tokens.push(token)
    }
  }

  readAll(): Grants {
    const grants = new Map<string, Grant>()
    while (this.#at < this.#tokens.length) {
      const word = this.#next()
      // `name = "…"` at the top has no effect.
      if (this.#take('=')) this.#value()
      else if (word === 'path' || word === '"path"') {
        const path = JSON.parse(this.#next()) as string
        grants.set(path, mergeGrants(grants.get(path), toGrant(this.#block())))
      } else throw new SyntaxError(word)
    }
    return grants
  }

  #block(): Fields {
    this.#expect('{')
    const fields: Record<string, unknown> = {}
    while (!this.#take('}')) {
      const name = this.#next().replaceAll('"', '')
      if (this.#peek() === '{') fields[name] = this.#block()
      else {
        if (!this.#take('=')) this.#expect(':')
        fields[name] = this.#value()
      }
      this.#take(',')
    }
    return fields
  }

  #value(): unknown {
    if (this.#peek() === '{') return this.#block()
    if (!this.#take('[')) return readScalar(this.#next())
    const items: unknown[] = []
    while (!this.#take(']')) {
      items.push(this.#value())
      this.#take(',')
    }
    return items
  }

  #peek(): string | undefined {
    return this.#tokens[this.#at]
  }

  #next(): string {
    const token = this.#tokens[this.#at]
    if (token === undefined) throw new SyntaxError('ends early')
    this.#at += 1
    return token
  }

  #take(token: string): boolean {
    if (this.#peek() !== token) return false
    this.#at += 1
    return true
  }

  #expect(token: string): void {
    if (!this.#take(token)) throw new SyntaxError(`no ${token}`)
  }
}

function readScalar(token: string): string {
  return token.startsWith('"') ? (JSON.parse(token) as string) : token
}

function mergeGrants(one: Grant | undefined, other: Grant): Grant {
  if (one === undefined) return other
  const capabilities = [...new Set([...one.capabilities, ...other.capabilities])].toSorted()
  return { capabilities, limits: [...one.limits, ...other.limits] }
}
