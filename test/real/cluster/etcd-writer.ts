import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire'
import { Client, type ChannelCredentials } from '@grpc/grpc-js'

/** The calls of etcd's API that write (etcd: api/etcdserverpb/rpc.proto), which the program itself does not have. */
export class EtcdWriter {
  readonly #client: Client

  constructor(target: string, security: ChannelCredentials) {
    this.#client = new Client(target, security)
  }

  /** Stores bytes under a key; returns the revision. */
  async put(key: string, value: Uint8Array): Promise<bigint> {
    const request = encodeKey(key).tag(2, WireType.LengthDelimited).bytes(value)
    return readRevision(await this.#call('Put', request))
  }

  async delete(key: string): Promise<void> {
    await this.#call('DeleteRange', encodeKey(key))
  }

  async compact(revision: bigint): Promise<void> {
    await this.#call('Compact', new BinaryWriter().tag(1, WireType.Varint).int64(revision))
  }

  close(): void {
    this.#client.close()
  }

  #call(method: string, request: BinaryWriter): Promise<Buffer> {
    const pass = (bytes: Buffer) => bytes
    const path = `/etcdserverpb.KV/${method}`
    const bytes = Buffer.from(request.finish())
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(path, pass, pass, bytes, (error, answer) => {
        if (error === null) resolve(answer ?? Buffer.alloc(0))
        else reject(error)
      })
    })
  }
}

function encodeKey(key: string): BinaryWriter {
  return new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(Buffer.from(key))
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
