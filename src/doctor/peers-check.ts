import { readReadiness, type ReadinessReport } from '../admin/client.ts'
import { BridgeError } from '../errors.ts'
import { fail, ok, unknown, type Finding } from './finding.ts'

interface PeerView {
  readonly peer: string
  /** What it reports, or why it cannot be asked. */
  readonly view: ReadinessReport | string
}

/** Whether the plugins of all nodes are ready and announce the same key. Each is host:port of its admin.listen. */
export async function checkPeers(peers: readonly string[]): Promise<readonly Finding[]> {
  const views = await Promise.all(peers.map(async (peer) => ({ peer, view: await readPeer(peer) })))
  return [...views.map(describe), ...compare(views)]
}

function describe({ peer, view }: PeerView): Finding {
  if (typeof view === 'string')
    return unknown('node', view, 'check that its admin.listen is open to this node')
  if (!view.ready) return fail('node', `${peer} is not ready: ${view.message}`, 'run doctor there')
  if (view.details.keyId === undefined) {
    const fix = 'pass the admin.listen of transit-bridge kms; csi and the installer announce none'
    return fail('node', `${peer} announces no key`, fix)
  }
  const announced = `${peer} announces key version ${view.details.keyVersion ?? 'unknown'}`
  // In the grace of an outage, or with local keys.
  if (view.reason !== 'ok')
    return fail(
      'node',
      `${announced}, but does not reach Vault (${view.reason})`,
      'run doctor there',
    )
  return ok('node', announced)
}

function compare(views: readonly PeerView[]): readonly Finding[] {
  const ids = new Map<string, string[]>()
  for (const { peer, view } of views) {
    const id = typeof view === 'string' ? undefined : view.details.keyId
    if (id !== undefined) ids.set(id, [...(ids.get(id) ?? []), peer])
  }
  const count = [...ids.values()].flat().length
  if (count < 2) return []
  const who = count === views.length ? 'the nodes' : `the ${String(count)} nodes that announce one`
  if (ids.size === 1) return [ok('drift', `${who} agree on the key`)]
  const groups = [...ids.values()].map((group) => group.join(' and ')).join(' against ')
  const fix =
    'after a rotation they agree within kms.refreshInterval; otherwise compare transit and kms.clusterId in their configurations'
  return [fail('drift', `the nodes announce different keys: ${groups}`, fix)]
}

async function readPeer(peer: string): Promise<ReadinessReport | string> {
  if (!URL.canParse(`http://${peer}/`)) return `${peer} is not host:port`
  try {
    return await readReadiness(`http://${peer}`)
  } catch (error) {
    return BridgeError.from(error).message
  }
}
