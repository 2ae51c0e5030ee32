import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'

import { BridgeError } from '../../../src/errors.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { MemoryTransit, serviceFixture, type FixtureOptions } from '../service-fixture.ts'
import { transitKey } from '../transit-key.ts'

export const seed = Buffer.from('0123456789abcdef0123456789abcdef')
export const HOUR = 3_600_000
/** Of the sealed file of a {@link Node}. */
export const OWNER = { clusterId: 'prod', keyPath: 'transit/k8s-etcd' }

export type Plugin = Awaited<ReturnType<typeof serviceFixture>>

/** A node with its Vault, on which the plugin is started several times. */
export class Node {
  readonly transit: MemoryTransit
  readonly sealedFile: string
  readonly nodeKeyFile: string
  readonly #started: Plugin[] = []

  constructor(t: Test, transit = new MemoryTransit(transitKey(1))) {
    this.transit = transit
    const folder = tempFolder('sealed-file')
    mkdirSync(join(folder, 'disk'))
    this.sealedFile = join(folder, 'disk/local-keys')
    this.nodeKeyFile = join(folder, 'node-key')
    writeFileSync(this.nodeKeyFile, randomBytes(32))
    // A write may still be in progress.
    t.teardown(() => Promise.all(this.#started.map((plugin) => plugin.stop())))
  }

  async start(options: FixtureOptions = {}): Promise<Plugin> {
    const { sealedFile, nodeKeyFile } = this
    const plugin = await serviceFixture({
      transit: this.transit,
      ...options,
      localKeys: { enabled: true, sealedFile, nodeKeyFile, ...options.localKeys },
    })
    this.#started.push(plugin)
    return plugin
  }

  stopVault(error = new BridgeError('VAULT_UNREACHABLE', 'scripted outage')): void {
    this.transit.bug = error
  }

  startVault(): void {
    this.transit.bug = undefined
  }
}

export const works = async ({ service, within }: Plugin) => {
  const envelope = await service.encrypt(seed, within())
  return (await service.decrypt(envelope, within())).equals(seed)
}

export const warnings = ({ lines }: Plugin) =>
  lines.filter(({ level }) => level === 'warn').map(({ msg }) => msg)

/** A plugin ran on the node and encrypted a seed; Vault has been unavailable since. */
export async function outageAfterRun(t: Test) {
  const node = new Node(t)
  const first = await node.start()
  const envelope = await first.service.encrypt(seed, first.within())
  const { keyId } = first.service.status()
  await first.stop()
  node.stopVault()
  return { node, envelope, keyId }
}
