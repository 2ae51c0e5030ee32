import { request } from 'undici'
import { obtain } from '../host/parts.ts'
import { freePort } from '../host/port.ts'
import { Program } from '../program/program.ts'
import { tempFolder } from '../host/temp-folder.ts'

export type StoredValue = { key: string; value: Buffer; modRevision: number }

/** With an API server connected, etcd would wait for its watches to end. */
const graceMs = 500

type RangeAnswer = { kvs?: { key: string; value?: string; mod_revision: string }[] }

/** A real etcd of one member on 127.0.0.1, with its data in a temporary folder. */
export class Etcd {
  /** Clients' address, without TLS. */
  readonly address: string
  readonly dir: string
  readonly #binary: string
  readonly #peer: string
  readonly #extraArgs: readonly string[]
  #program: Program

  static async start({
    dir = tempFolder('etcd'),
    extraArgs = [],
  }: { dir?: string; extraArgs?: readonly string[] } = {}): Promise<Etcd> {
    const client = `http://127.0.0.1:${await freePort()}`
    const peer = `http://127.0.0.1:${await freePort()}`
    const etcd = new Etcd(await obtain('etcd'), dir, client, peer, extraArgs)
    await etcd.#ready()
    return etcd
  }

  private constructor(
    binary: string,
    dir: string,
    address: string,
    peer: string,
    extraArgs: readonly string[],
  ) {
    this.#extraArgs = extraArgs
    this.#binary = binary
    this.dir = dir
    this.address = address
    this.#peer = peer
    this.#program = this.#launch()
  }

  /** The bytes that are stored under a key, or undefined. */
  async get(key: string): Promise<Buffer | undefined> {
    const [found] = await this.#range({ key: encode(key) })
    return found?.value
  }

  /** All keys that start with `prefix`, in order, with their bytes. */
  async range(prefix: string): Promise<StoredValue[]> {
    return this.#range({ key: encode(prefix), range_end: after(prefix).toString('base64') })
  }

  /** Stores bytes under a key as they are. */
  async put(key: string, value: Buffer): Promise<void> {
    await this.#call('put', { key: encode(key), value: value.toString('base64') })
  }

  async delete(key: string): Promise<void> {
    await this.#call('deleterange', { key: encode(key) })
  }

  async kill(): Promise<void> {
    await this.#program.kill()
  }

  async stop(): Promise<void> {
    await this.#program.terminate({ graceMs })
  }

  /** Starts it again with the same addresses and data. */
  async restart(): Promise<void> {
    await this.#program.terminate({ graceMs })
    this.#program = this.#launch()
    await this.#ready()
  }

  pause(): void {
    this.#program.pause()
  }

  resume(): void {
    this.#program.resume()
  }

  #launch(): Program {
    return Program.start({
      name: 'etcd',
      command: this.#binary,
      folder: this.dir,
      args: [
        '--name=one',
        '--data-dir=data',
        `--listen-client-urls=${this.address}`,
        `--advertise-client-urls=${this.address}`,
        `--listen-peer-urls=${this.#peer}`,
        `--initial-advertise-peer-urls=${this.#peer}`,
        `--initial-cluster=one=${this.#peer}`,
        // The data need not outlive the machine, and a disk that is slow to flush slows every test.
        '--unsafe-no-fsync',
        '--log-level=warn',
        ...this.#extraArgs,
      ],
    })
  }

  async #ready(): Promise<void> {
    await this.#program.waitUntil('health', async () => {
      const answer = await request(`${this.address}/health`)
      const { health } = (await answer.body.json()) as { health?: string }
      return health === 'true'
    })
  }

  async #range(body: { key: string; range_end?: string }): Promise<StoredValue[]> {
    const { kvs = [] } = (await this.#call('range', body)) as RangeAnswer
    return kvs.map(({ key, value = '', mod_revision }) => ({
      key: Buffer.from(key, 'base64').toString('utf8'),
      value: Buffer.from(value, 'base64'),
      modRevision: Number(mod_revision),
    }))
  }

  async #call(verb: string, body: unknown): Promise<unknown> {
    const answer = await request(`${this.address}/v3/kv/${verb}`, {
      method: 'POST',
      body: JSON.stringify(body),
    })
    if (answer.statusCode !== 200) {
      throw new Error(`etcd ${verb}: ${answer.statusCode} ${await answer.body.text()}`)
    }
    return answer.body.json()
  }
}

function encode(key: string): string {
  return Buffer.from(key).toString('base64')
}

/** The first key after all that start with `prefix`. */
function after(prefix: string): Buffer {
  const end = Buffer.from(prefix)
  for (let last = end.length - 1; last >= 0; last -= 1) {
    const byte = end.readUInt8(last)
    if (byte < 0xff) {
      end.writeUInt8(byte + 1, last)
      return end.subarray(0, last + 1)
    }
  }
  return Buffer.of(0)
}
