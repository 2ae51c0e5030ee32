import { Server, ServerCredentials, type ServerOptions } from '@grpc/grpc-js'
import type { Http2Server, ServerHttp2Stream, ServerOptions as Http2Options } from 'node:http2'

import { MAX_HEADER_BYTES } from './client-bounds.ts'

/**
 * A caller that gives up resets its stream. By default, Node.js closes a connection, with every call on it, when resets exceed a
 * burst of 1,000 and 33 per second (nghttp2_option_set_stream_reset_rate_limit). During an outage of Vault, an API server resets
 * more. These limits are never reached; they are not needed, because a stream that is reset costs no more than one that is
 * answered, and client-bounds.ts counts it until it is released.
 */
const STREAM_RESET_BURST = 1_000_000
const STREAM_RESETS_PER_SECOND = 1_000_000
/** Streams per connection. A gRPC client queues further calls instead of failing them. */
const MAX_STREAMS_PER_CONNECTION = 512

/**
 * Streams beyond that limit that a connection may request: a client does so before it has received the limit. The default of
 * Node.js is 100.
 */
const MAX_REJECTED_STREAMS = 1_024

/** Private fields of grpc-js for which there is no option (packages/grpc-js/src/server.ts). */
interface Internals {
  readonly commonServerOptions: Http2Options
  readonly http2Servers: ReadonlyMap<Http2Server, unknown>
}

/** A call without interceptors (packages/grpc-js/src/server-call.ts, server-interceptors.ts). */
interface CallInternals {
  readonly call: { readonly stream: ServerHttp2Stream; readonly cancelled: boolean }
}

/** Creates a grpc-js server with our HTTP/2 limits. */
export function createHttp2GrpcServer(maxRequestBytes: number): Server {
  const options: ServerOptions = {
    'grpc.max_receive_message_length': maxRequestBytes,
    'grpc.max_concurrent_streams': MAX_STREAMS_PER_CONNECTION,
    // Statistics of each connection and stream, which nothing reads.
    'grpc.enable_channelz': 0,
  }
  const server = new Server(options)
  const { commonServerOptions } = internalsOf(server)
  Object.assign(commonServerOptions, {
    settings: { ...commonServerOptions.settings, maxHeaderListSize: MAX_HEADER_BYTES },
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

/** The connection of a call, as an object that its calls have in common. */
export function connectionOf(call: object): object {
  const { stream } = (call as CallInternals).call
  // A stream that has ended has no session.
  return stream.session ?? stream
}

/**
 * Whether a call has ended before its handler is called. grpc-js answers an incomplete request itself, for example at its deadline,
 * but calls the handler when the client completes the request later. That call sends no answer and never emits "cancelled".
 */
export function hasEnded(call: object): boolean {
  return (call as CallInternals).call.cancelled
}

function internalsOf(server: Server): Internals {
  return server as unknown as Internals
}
