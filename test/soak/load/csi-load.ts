import { setTimeout as sleep } from 'node:timers/promises'
import type { Answer, Asked } from '../../csi/runtime/fixture.ts'
import type { CsiMember, MountingPod, SocketPod } from '../members/csi-member.ts'
import type { Plaintexts, Random } from '../random.ts'
import type { LoadContext } from './plugin-load.ts'
import type { PodRecords } from './pod-records.ts'
import { DATA_KEY, SIGNING_KEY } from './volume-class.ts'

const REPUBLISH_MS = 4_000

/** A response other than 200 of the socket of a pod. */
class PodFailure extends Error {
  readonly code: string
  constructor(status: number, message: string) {
    super(message)
    this.code = `HTTP ${String(status)}`
  }
}

export interface CsiLoadContext extends LoadContext {
  readonly records: PodRecords
  readonly plaintexts: Plaintexts
}

/** What the driver, the kubelet and pods ask of the CSI provider. */
export class CsiLoad {
  readonly #member: CsiMember
  readonly #context: CsiLoadContext

  constructor(member: CsiMember, context: CsiLoadContext) {
    this.#member = member
    this.#context = context
  }

  async run(random: Random, rates: { mountsPerSecond: number; requestsPerSecond: number }) {
    const { mounting, withSockets } = this.#member
    const mountMs = (mounting.length * 1000) / rates.mountsPerSecond
    const requestMs = (withSockets.length * 1000) / rates.requestsPerSecond
    await Promise.all([
      ...mounting.map((pod, at) => this.#repeatMounts(pod, random.fork(`m${String(at)}`), mountMs)),
      ...withSockets.flatMap((pod, at) => [
        this.#repeatPublish(pod),
        this.#repeatRequests(pod, random.fork(`r${String(at)}`), requestMs),
      ]),
    ])
  }

  async #repeatMounts(pod: MountingPod, random: Random, meanMs: number): Promise<void> {
    const member = this.#member
    while (!this.#context.signal.aborted) {
      await sleep(random.pauseMs(meanMs))
      const isNew = random.next() < 0.2
      const run = () => (isNew ? member.mountNew(pod) : member.mount(pod))
      await this.#context.calls.make({ member, what: isNew ? 'Mount' : 'Republish', run })
    }
  }

  async #repeatPublish(pod: SocketPod): Promise<void> {
    const member = this.#member
    while (!this.#context.signal.aborted) {
      await sleep(REPUBLISH_MS)
      const run = () => member.publish(pod)
      await this.#context.calls.make({ member, what: 'Publish of a socket', run })
    }
  }

  async #repeatRequests(pod: SocketPod, random: Random, meanMs: number): Promise<void> {
    while (!this.#context.signal.aborted) {
      await sleep(random.pauseMs(meanMs))
      const drawn = random.next()
      if (drawn < 0.3) await this.#make('Encrypt of a pod', () => this.#encrypt(pod))
      else if (drawn < 0.7) await this.#make('Decrypt of a pod', () => this.#decrypt(pod, random))
      else if (drawn < 0.95) await this.#make('Sign of a pod', () => this.#sign(pod))
      else await this.#askForbidden(pod)
    }
  }

  #make(what: string, run: () => Promise<void>): Promise<void | undefined> {
    return this.#context.calls.make({ member: this.#member, what, run })
  }

  async #encrypt(pod: SocketPod): Promise<void> {
    const number = this.#context.records.nextPlaintext()
    const plaintext = this.#context.plaintexts.make(number).toString('base64')
    const { data } = await ask(pod, `transit/encrypt/${DATA_KEY}`, { body: { plaintext } })
    this.#context.records.add(number, String(data['ciphertext']))
  }

  async #decrypt(pod: SocketPod, random: Random): Promise<void> {
    const record = this.#context.records.pick(random)
    if (record === undefined) return
    const { ciphertext, plaintext } = record
    const { data } = await ask(pod, `transit/decrypt/${DATA_KEY}`, { body: { ciphertext } })
    const returned = Buffer.from(String(data['plaintext']), 'base64')
    if (returned.equals(this.#context.plaintexts.make(plaintext))) return
    this.#context.findings.add('wrong plaintext', `a pod: record ${String(plaintext)}`)
  }

  async #sign(pod: SocketPod): Promise<void> {
    const input = Buffer.from('what a pod signs').toString('base64')
    const signed = await ask(pod, `transit/sign/${SIGNING_KEY}`, { body: { input } })
    const { signature } = signed.data
    const body = { input, signature }
    const verified = await ask(pod, `transit/verify/${SIGNING_KEY}`, { body })
    if (verified.data['valid'] !== true)
      this.#context.findings.add('wrong plaintext', 'a signature of a pod is not valid')
  }

  /** The key of the cluster is no key of a pod. */
  async #askForbidden(pod: SocketPod): Promise<void> {
    const what = 'Decrypt of a pod with the key of the cluster'
    const run = () =>
      ask(pod, 'transit/decrypt/k8s-etcd', { body: { ciphertext: 'vault:v1:YQ==' } })
    await this.#context.calls.makeForbidden({ member: this.#member, what, run })
  }
}

async function ask(pod: SocketPod, path: string, asked: Asked): Promise<Answer['json']> {
  const { status, json } = await pod.socket.ask(path, asked)
  if (status !== 200) throw new PodFailure(status, json.errors?.[0] ?? '')
  return json
}
