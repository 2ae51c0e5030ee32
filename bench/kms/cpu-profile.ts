import { existsSync, readFileSync } from 'node:fs'
import { SourceMap, type SourceMapPayload } from 'node:module'

/** The parts of a V8 CPU profile that are used here (https://chromedevtools.github.io/devtools-protocol/v8/Profiler). */
export type CpuProfile = {
  readonly nodes: readonly { readonly id: number; readonly callFrame: CallFrame }[]
  readonly samples: readonly number[]
  readonly timeDeltas: readonly number[]
}

type CallFrame = {
  readonly functionName: string
  readonly url: string
  readonly lineNumber: number
  readonly columnNumber: number
}

const INTERNAL: Readonly<Record<string, string>> = {
  '(garbage collector)': 'garbage collection',
  '(program)': 'native code of Node.js',
  '(root)': 'native code of Node.js',
}

/** Self time in microseconds of each package, each folder of `src`, and each area of Node.js. Idle time does not count. */
export function sumByPart(profile: CpuProfile): Map<string, number> {
  const files = new Set(profile.nodes.map(({ callFrame }) => callFrame.url))
  const maps = new Map([...files].map((file) => [file, readSourceMap(file)]))
  const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, namePart(callFrame, maps)]))
  const sums = new Map<string, number>()
  for (const [index, id] of profile.samples.entries()) {
    const name = names.get(id)
    if (name === undefined) continue
    // The delta of the next sample is the time that this one represents.
    sums.set(name, (sums.get(name) ?? 0) + (profile.timeDeltas[index + 1] ?? 0))
  }
  return sums
}

function readSourceMap(url: string): SourceMap | undefined {
  const file = `${url.replace(/^file:\/\//, '')}.map`
  if (!existsSync(file)) return undefined
  return new SourceMap(JSON.parse(readFileSync(file, 'utf8')) as SourceMapPayload)
}

function namePart(
  frame: CallFrame,
  maps: ReadonlyMap<string, SourceMap | undefined>,
): string | undefined {
  if (frame.functionName === '(idle)') return undefined
  if (frame.url === '') return INTERNAL[frame.functionName] ?? 'native functions'
  if (frame.url.startsWith('node:')) return nameArea(frame.url)
  const entry = maps.get(frame.url)?.findEntry(frame.lineNumber, frame.columnNumber)
  const source = entry && 'originalSource' in entry ? entry.originalSource : frame.url
  const dependency = /node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(source)?.[1]
  return dependency ?? /\b(src\/[^/]+)\//.exec(source)?.[1] ?? 'src'
}

function nameArea(url: string): string {
  if (/http2|streams?|net|tls|timers|crypto/.exec(url)?.[0] === undefined) return 'Node.js: other'
  if (url.includes('http2')) return 'Node.js: HTTP/2'
  if (url.includes('crypto')) return 'Node.js: crypto'
  if (url.includes('timers')) return 'Node.js: timers'
  return 'Node.js: streams and sockets'
}
