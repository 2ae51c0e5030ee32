/** What `probe.ts` is asked to do. */
export interface ProbeTask {
  readonly nodes: readonly string[]
  /** The path of a login, and its body. */
  readonly login: string
  readonly loginBody: string
  /** The path of an encrypt, and a token that may. */
  readonly encrypt: string
  readonly token: string
}

/** A login and an encrypt at one node, in milliseconds since 1970. */
export interface ProbeLine {
  readonly node: number
  readonly from: number
  readonly to: number
  readonly isOk: boolean
}

/** For how long a node must work within the time of a call, so that the call could have used it. */
const ENOUGH_MS = 1_000

/** When Vault worked for the host of the plugin, as direct calls saw it. */
export class Availability {
  readonly #lines: readonly ProbeLine[]

  constructor(lines: readonly ProbeLine[]) {
    this.#lines = lines.toSorted((one, other) => one.to - other.to)
  }

  /** The longest time without a node that does everything: an election, seen from outside. */
  get longestOutageMs(): number {
    let longest = 0
    let lastAt: number | undefined
    for (const { isOk, to } of this.#lines) {
      if (!isOk) continue
      longest = Math.max(longest, to - (lastAt ?? to))
      lastAt = to
    }
    return longest
  }

  /** Whether one node answered everything for a while within this time, so that a call with this deadline could succeed. */
  allowedSuccess(from: number, deadline: number): boolean {
    const nodes = Map.groupBy(this.#lines, ({ node }) => node)
    return [...nodes.values()].some((lines) => worksFor(lines, from, deadline))
  }
}

function worksFor(lines: readonly ProbeLine[], from: number, deadline: number): boolean {
  let since: number | undefined
  for (const line of lines) {
    if (line.from < from || line.to > deadline) continue
    if (!line.isOk) since = undefined
    else since ??= line.from
    if (since !== undefined && line.to - since >= ENOUGH_MS) return true
  }
  return false
}
