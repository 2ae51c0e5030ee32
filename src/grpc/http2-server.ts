import { Server, ServerCredentials, type ServerOptions } from '@grpc/grpc-js'
import type { Http2Server, ServerOptions as Http2Options } from 'node:http2'

/**
 * A caller that gives up resets its stream. Node.js ends a connection after 1,000 resets and more than 33 a second
 * (nghttp2_option_set_stream_reset_rate_limit), with every call on it; an API server during an outage of Vault resets more.
 */
const STREAM_RESET_BURST = 4_000
const STREAM_RESETS_PER_SECOND = 500
/** Streams a connection. A client of gRPC waits with more calls instead of being refused. */
const MAX_STREAMS_PER_CONNECTION = 512

/** Streams beyond that limit that a connection may ask for, as a client does that has not heard of it yet; the default is 100. */
const MAX_REJECTED_STREAMS = 1_024

/** What grpc-js has no option for, by the names of its own fields (packages/grpc-js/src/server.ts). */
interface Internals {
  readonly commonServerOptions: Http2Options
  readonly http2Servers: ReadonlyMap<Http2Server, unknown>
}

/** Makes a server of grpc-js whose HTTP/2 has our limits. */
export function createHttp2GrpcServer(maxRequestBytes: number): Server {
  const options: ServerOptions = {
    'grpc.max_receive_message_length': maxRequestBytes,
    'grpc.max_concurrent_streams': MAX_STREAMS_PER_CONNECTION,
    // Statistics of each connection and stream, which nothing reads.
    'grpc.enable_channelz': 0,
  }
  const server = new Server(options)
  Object.assign(internalsOf(server).commonServerOptions, {
    streamResetBurst: STREAM_RESET_BURST,
    streamResetRate: STREAM_RESETS_PER_SECOND,
    maxSessionRejectedStreams: MAX_REJECTED_STREAMS,
  } satisfies Http2Options)
  return server
}

/** Listens on a unix socket; resolves with the HTTP/2 server behind it. */
export function listen(server: Server, path: string): Promise<Http2Server> {
  const { http2Servers } = internalsOf(server)
  const before = new Set(http2Servers.keys())
  return new Promise((resolve, reject) => {
    server.bindAsync(`unix://${path}`, ServerCredentials.createInsecure(), (error) => {
      const added = [...http2Servers.keys()].find((each) => !before.has(each))
      if (error !== null) reject(error)
      else if (added === undefined) reject(new Error('grpc-js has no HTTP/2 server after binding'))
      else resolve(added)
    })
  })
}

function internalsOf(server: Server): Internals {
  return server as unknown as Internals
}
