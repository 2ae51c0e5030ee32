import { join } from 'node:path'
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { Client, credentials } from '@grpc/grpc-js'
import { obtain } from '../host/parts.ts'
import { Program } from '../program/program.ts'
import { tempFolder } from '../host/temp-folder.ts'

/** A real kine with SQLite on a unix socket, as k3s runs it without an etcd. */
export class Kine {
  /** As kube-apiserver and `verify` take it: `unix:///…`. */
  readonly address: string
  readonly #program: Program
  readonly #client: Client

  static async start(): Promise<Kine> {
    const folder = tempFolder('kine')
    const socket = join(folder, 'kine.sock')
    const program = Program.start({
      name: 'kine',
      command: await obtain('kine'),
      folder,
      args: [
        `--listen-address=unix://${socket}`,
        // The options of k3s (k3s: pkg/cluster; kine: pkg/drivers/sqlite).
        `--endpoint=sqlite://${join(folder, 'state.db')}?_journal=WAL&cache=shared&_busy_timeout=30000&_txlock=immediate`,
        '--metrics-bind-address=0',
      ],
    })
    await program.waitForLine(/Kine available at/)
    return new Kine(program, `unix://${socket}`)
  }

  private constructor(program: Program, address: string) {
    this.#program = program
    this.address = address
    this.#client = new Client(address.replace('unix://', 'unix:'), credentials.createInsecure())
  }

  /** Stores bytes under a key; returns the revision. */
  async put(key: string, value: Buffer): Promise<bigint> {
    const request = new BinaryWriter()
    request.tag(1, WireType.LengthDelimited).bytes(Buffer.from(key))
    request.tag(2, WireType.LengthDelimited).bytes(value)
    return readRevision(await this.#call('KV/Put', request.finish()))
  }

  async compact(revision: bigint): Promise<void> {
    const request = new BinaryWriter().tag(1, WireType.Varint).int64(revision)
    await this.#call('KV/Compact', request.finish())
  }

  async stop(): Promise<void> {
    this.#client.close()
    await this.#program.terminate({ graceMs: 500 })
  }

  #call(method: string, request: Uint8Array): Promise<Buffer> {
    const pass = (bytes: Buffer) => bytes
    return new Promise((resolve, reject) => {
      const path = `/etcdserverpb.${method}`
      this.#client.makeUnaryRequest(path, pass, pass, Buffer.from(request), (error, answer) => {
        if (error === null) resolve(answer ?? Buffer.alloc(0))
        else reject(error)
      })
    })
  }
}

/** Field 3 of field 1, the header. */
function readRevision(answer: Uint8Array): bigint {
  const reader = new BinaryReader(answer)
  reader.tag()
  const header = new BinaryReader(reader.bytes())
  while (header.pos < header.len) {
    const [field, type] = header.tag()
    if (field === 3) return BigInt(header.int64())
    header.skip(type)
  }
  return 0n
}
