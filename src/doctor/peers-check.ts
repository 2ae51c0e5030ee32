import { request } from 'node:http'
import * as v from 'valibot'

import { fail, ok, unknown, type Finding } from './finding.ts'

const TIMEOUT = 5_000
const LONGEST = 64 * 1024

const Readiness = v.object({
  ready: v.boolean(),
  message: v.string(),
  details: v.object({ keyId: v.optional(v.string()), keyVersion: v.optional(v.number()) }),
})
type Readiness = v.InferOutput<typeof Readiness>

/** Whether the plugins of all nodes are ready and announce the same key. Each is host:port of its admin.listen. */
export async function checkPeers(peers: readonly string[]): Promise<readonly Finding[]> {
  const views = await Promise.all(
    peers.map(async (peer) => ({ peer, view: await readReadiness(peer) })),
  )
  return [...views.map(({ peer, view }) => describe(peer, view)), ...compare(views)]
}

function describe(peer: string, view: Readiness | string): Finding {
  if (typeof view === 'string')
    return unknown('node', `${peer} ${view}`, 'is its admin.listen open to this node?')
  if (!view.ready) return fail('node', `${peer} is not ready: ${view.message}`, 'run doctor there')
  return ok('node', `${peer} announces key version ${view.details.keyVersion ?? 'unknown'}`)
}

function compare(
  views: readonly { readonly peer: string; readonly view: Readiness | string }[],
): readonly Finding[] {
  const ids = new Map<string, string[]>()
  for (const { peer, view } of views) {
    const id = typeof view === 'string' ? undefined : view.details.keyId
    if (id !== undefined) ids.set(id, [...(ids.get(id) ?? []), peer])
  }
  if (ids.size === 0 || views.length < 2) return []
  if (ids.size === 1) return [ok('drift', 'the nodes agree on the key')]
  const groups = [...ids.values()].map((group) => group.join(' and ')).join(' against ')
  const fix =
    'after a rotation they agree within kms.refreshInterval; else compare transit and kms.clusterId in their configurations'
  return [fail('drift', `the nodes announce different keys: ${groups}`, fix)]
}

function readReadiness(peer: string): Promise<Readiness | string> {
  if (!URL.canParse(`http://${peer}/`)) return Promise.resolve('is not host:port')
  const { promise, resolve } = Promise.withResolvers<Readiness | string>()
  const url = new URL(`http://${peer}/readyz?format=json`)
  const call = request(url, { timeout: TIMEOUT, agent: false }, (answer) => {
    let text = ''
    answer.setEncoding('utf8')
    answer.on('data', (part: string) => {
      text += part
      if (text.length > LONGEST) call.destroy()
    })
    answer.on('end', () => resolve(parse(text)))
  })
  call.on('timeout', () => call.destroy())
  call.on('error', () => resolve('does not answer'))
  call.end()
  return promise
}

function parse(text: string): Readiness | string {
  try {
    const parsed = v.safeParse(Readiness, JSON.parse(text))
    return parsed.success ? parsed.output : 'answers, but is no plugin'
  } catch {
    return 'answers, but is no plugin'
  }
}
