import { randomUUID } from 'node:crypto'
import { newPod, type Pod, type PodVault } from '../../csi/pod-vault.ts'
import type { Kubelet, PodSocket } from '../../csi/runtime/fixture.ts'
import { CsiClient } from '../../real/program/csi-client.ts'
import { Member, type MemberOptions } from './member.ts'
import { persist } from '../faults/persistence.ts'
import { SIGNING_KEY, type VolumeClass } from '../load/volume-class.ts'

/** The kubelet asks for a new token after 80 % of the lifetime of the old one; here the logins matter. */
const TOKEN_MS = 60_000
const TOKENS = 'csi.storage.k8s.io/serviceAccount.tokens'

/** A pod with a volume of files. */
export interface MountingPod {
  readonly pod: Pod
  readonly volumeClass: VolumeClass
}

/** A pod with a socket; the path is known before the volume is published. */
export interface SocketPod {
  readonly pod: Pod
  readonly socket: PodSocket
}

export interface CsiMemberOptions extends MemberOptions {
  readonly vault: PodVault
  readonly kubelet: Kubelet
  readonly mounting: readonly MountingPod[]
  readonly withSockets: readonly SocketPod[]
}

/** The CSI provider, as the Secrets Store CSI driver, the kubelet and pods see it. */
export class CsiMember extends Member {
  readonly vault: PodVault
  readonly mounting: readonly MountingPod[]
  readonly withSockets: readonly SocketPod[]
  readonly #kubelet: Kubelet
  readonly #driver: CsiClient
  readonly #tokens = new Map<string, { readonly text: string; readonly atMs: number }>()
  #publicKeys: ReadonlySet<string> = new Set()

  constructor(options: CsiMemberOptions) {
    super(options)
    this.vault = options.vault
    this.mounting = options.mounting
    this.withSockets = options.withSockets
    this.#kubelet = options.kubelet
    this.#driver = new CsiClient(this.program.socket)
  }

  /** Mounts the volume of a pod, and checks that it has all files or none. */
  async mount({ pod, volumeClass }: MountingPod, tokens?: string): Promise<void> {
    const change = { [TOKENS]: tokens ?? (await this.#tokensOf(pod)) }
    const attributes = await this.vault.attributes(pod, volumeClass.objects, change)
    const mounted = await this.#driver.mount({ attributes })
    let fault = volumeClass.findFault(mounted, this.#publicKeys)
    if (fault !== undefined) {
      await this.readPublicKeys()
      fault = volumeClass.findFault(mounted, this.#publicKeys)
    }
    if (fault !== undefined) this.findings.add('Mount', `Mount returned ${fault}`)
  }

  /** The same volume of a pod that has just started, about which the provider has nothing in memory. */
  async mountNew({ pod, volumeClass }: MountingPod): Promise<void> {
    const restarted = { ...pod, uid: randomUUID() }
    await this.mount({ pod: restarted, volumeClass }, await this.vault.tokens(restarted))
  }

  async publish({ pod }: SocketPod): Promise<void> {
    await this.#kubelet.publish(pod, { attributes: { [TOKENS]: await this.#tokensOf(pod) } })
  }

  /** Reads all public keys of the signing key from OpenBao. */
  async readPublicKeys(): Promise<void> {
    const { bao } = this.vault
    const { data } = await persist(() => bao.api('GET', `transit/keys/${SIGNING_KEY}`))
    const keys = Object.values(data.keys as Record<string, { public_key: string }>)
    this.#publicKeys = new Set(keys.map(({ public_key: pem }) => pem.trim()))
  }

  async works(): Promise<boolean> {
    for (const each of this.mounting) {
      await this.mount(each)
      await this.mountNew(each)
    }
    for (const each of this.withSockets) {
      await this.publish(each)
      const { status } = await each.socket.ask('transit/random', { body: {} })
      if (status !== 200) return false
    }
    return true
  }

  /** From now on the kubelet passes new tokens: one that Vault refused is held back for up to 75 s. */
  renewTokens(): void {
    this.#tokens.clear()
  }

  close(): void {
    this.#driver.close()
    this.#kubelet.close()
  }

  async #tokensOf(pod: Pod): Promise<string> {
    const known = this.#tokens.get(pod.uid)
    if (known !== undefined && performance.now() - known.atMs < TOKEN_MS) return known.text
    const text = await this.vault.tokens(pod)
    this.#tokens.set(pod.uid, { text, atMs: performance.now() })
    return text
  }
}

export function makePods(prefix: string, count: number): readonly Pod[] {
  return Array.from({ length: count }, (_none, index) =>
    newPod({ serviceAccount: `${prefix}-${String(index)}` }),
  )
}
