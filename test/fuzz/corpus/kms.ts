// Inputs for the socket of the KMS plugin: HTTP/2 (RFC 9113), HPACK (RFC 7541) and gRPC over HTTP/2.
import { create, toBinary } from '@bufbuild/protobuf'

import { DecryptRequestSchema, EncryptRequestSchema } from '../../../src/gen/kms/v2/api_pb.ts'
import { makeAnnotations, makeLocalAnnotations } from '../../../src/seed/annotations.ts'
import { named, type Input } from './input.ts'

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')

const [DATA, HEADERS, PRIORITY, RST, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION] =
  Array.from({ length: 10 }, (_none, type) => type) as [
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
    number,
  ]
const [END_STREAM, END_HEADERS, PADDED] = [0x1, 0x4, 0x8]
const SERVICE = '/v2.KeyManagementService'

type Payload = Buffer | string

export function frame(type: number, flags: number, stream: number, payload: Payload = ''): Buffer {
  const body = Buffer.from(payload as string, 'latin1')
  const head = Buffer.alloc(9)
  head.writeUIntBE(body.length, 0, 3)
  head.writeUInt8(type, 3)
  head.writeUInt8(flags, 4)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, body])
}

/** Headers as literals without an index and without Huffman's code. */
function block(headers: readonly (readonly [string, string])[]): Buffer {
  const text = (value: string) =>
    Buffer.concat([Buffer.of(value.length), Buffer.from(value, 'latin1')])
  return Buffer.concat(headers.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]))
}

function callHeaders(path: string, more: readonly (readonly [string, string])[] = []): Buffer {
  return block([
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'localhost'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...more,
  ])
}

/** A message with its length in front, as gRPC sends it. */
export function message(content: Uint8Array, flag = 0): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt8(flag)
  head.writeUInt32BE(content.length, 1)
  return Buffer.concat([head, content])
}

function call(
  stream: number,
  path: string,
  content: Uint8Array,
  more: readonly (readonly [string, string])[] = [],
): Buffer {
  return Buffer.concat([
    frame(HEADERS, END_HEADERS, stream, callHeaders(path, more)),
    frame(DATA, END_STREAM, stream, message(content)),
  ])
}

const session = (...frames: readonly Buffer[]) =>
  Buffer.concat([PREFACE, frame(SETTINGS, 0, 0), ...frames])

const ENCRYPT = toBinary(
  EncryptRequestSchema,
  create(EncryptRequestSchema, { plaintext: Buffer.alloc(32, 1), uid: 'u' }),
)
const decryptWith = (ciphertext: string, keyId: string, annotations: Record<string, Uint8Array>) =>
  toBinary(
    DecryptRequestSchema,
    create(DecryptRequestSchema, {
      ciphertext: Buffer.from(ciphertext),
      uid: 'u',
      keyId,
      annotations,
    }),
  )
const KEY_ID = `tb1-${'A'.repeat(43)}`
const DECRYPT = decryptWith('vault:v1:QUJDRA==', KEY_ID, { ...makeAnnotations('prod') })
const LOCAL = decryptWith('\0'.repeat(80), KEY_ID, {
  ...makeLocalAnnotations('prod', 'vault:v1:QUJDRA=='),
})

/** The requests of calls, without HTTP/2: [path, bytes behind the headers]. */
export const CALLS: readonly (readonly [string, Buffer])[] = [
  [`${SERVICE}/Status`, message(Buffer.alloc(0))],
  [`${SERVICE}/Encrypt`, message(ENCRYPT)],
  [`${SERVICE}/Decrypt`, message(DECRYPT)],
  [`${SERVICE}/Decrypt`, message(LOCAL)],
  [`${SERVICE}/Decrypt`, message(decryptWith('vault:v1:QUJDRA==', '1', {}))],
  [`${SERVICE}/Encrypt`, Buffer.alloc(0)],
  [`${SERVICE}/Encrypt`, message(ENCRYPT, 1)],
  [`${SERVICE}/Encrypt`, Buffer.from('00ffffffff0a', 'hex')],
  [`${SERVICE}/Encrypt`, Buffer.concat([message(ENCRYPT), message(ENCRYPT)])],
  [`${SERVICE}/Decrypt`, message(Buffer.from('22ffffffff0f0a', 'hex'))],
  [`${SERVICE}/Decrypt`, message(Buffer.from('1204c3282028', 'hex'))],
  [`${SERVICE}/Decrypt`, message(Buffer.from('2a0d0a095f5f70726f746f5f5f120161', 'hex'))],
  [`${SERVICE}/Encrypt`, message(Buffer.from('0b'.repeat(500), 'hex'))],
  ['/v1beta1.KeyManagementService/Version', message(Buffer.alloc(0))],
  ['/v2.KeyManagementService/', message(Buffer.alloc(0))],
  ['/', message(Buffer.alloc(0))],
]

const U32 = (...values: readonly number[]) => {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [at, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, 4 * at)
  return bytes
}
const HEADERS_OF_STATUS = callHeaders(`${SERVICE}/Status`)

export const KMS_INPUTS: readonly Input[] = named({
  'a Status': session(call(1, `${SERVICE}/Status`, Buffer.alloc(0))),
  'an Encrypt': session(call(1, `${SERVICE}/Encrypt`, ENCRYPT)),
  'a Decrypt': session(call(1, `${SERVICE}/Decrypt`, DECRYPT)),
  'two Decrypts at once': session(
    call(1, `${SERVICE}/Decrypt`, DECRYPT),
    call(3, `${SERVICE}/Decrypt`, LOCAL),
  ),
  'an unknown method': session(call(1, '/a.B/C', ENCRYPT)),
  'a timeout of 0': session(call(1, `${SERVICE}/Encrypt`, ENCRYPT, [['grpc-timeout', '0n']])),
  'a timeout without a unit': session(
    call(1, `${SERVICE}/Encrypt`, ENCRYPT, [['grpc-timeout', '99999999999']]),
  ),
  'an unknown compression': session(
    call(1, `${SERVICE}/Encrypt`, ENCRYPT, [['grpc-encoding', 'snappy']]),
  ),
  'a header with binary data': session(call(1, `${SERVICE}/Encrypt`, ENCRYPT, [['a-bin', '!!!']])),
  'a request without a message': session(
    frame(HEADERS, END_HEADERS | END_STREAM, 1, HEADERS_OF_STATUS),
  ),
  'a message that never comes': session(frame(HEADERS, END_HEADERS, 1, HEADERS_OF_STATUS)),
  'half a message': session(
    frame(HEADERS, END_HEADERS, 1, HEADERS_OF_STATUS),
    frame(DATA, END_STREAM, 1, message(ENCRYPT).subarray(0, 9)),
  ),
  'a reset call': session(call(1, `${SERVICE}/Decrypt`, DECRYPT), frame(RST, 0, 1, U32(8))),
  'many resets': session(
    ...Array.from({ length: 300 }, (_none, at) =>
      Buffer.concat([
        call(2 * at + 1, `${SERVICE}/Encrypt`, ENCRYPT),
        frame(RST, 0, 2 * at + 1, U32(8)),
      ]),
    ),
  ),
  'an even stream': session(call(2, `${SERVICE}/Status`, Buffer.alloc(0))),
  'a lower stream': session(
    call(5, `${SERVICE}/Status`, Buffer.alloc(0)),
    call(3, `${SERVICE}/Status`, Buffer.alloc(0)),
  ),
  'data without a stream': session(frame(DATA, 0, 0, 'x'), frame(DATA, END_STREAM, 9, 'x')),
  'more padding than payload': session(frame(HEADERS, END_HEADERS | PADDED, 1, '\xff\0')),
  'a promise of a client': session(frame(PUSH, END_HEADERS, 1, U32(2))),
  'an unknown frame': session(
    frame(0xee, 0xff, 1, 'x'.repeat(100)),
    call(1, `${SERVICE}/Status`, Buffer.alloc(0)),
  ),
  'settings of a wrong length': session(frame(SETTINGS, 0, 0, 'abcde')),
  'settings with extreme values': session(
    frame(
      SETTINGS,
      0,
      0,
      Buffer.from('0001ffffffff0003000000000004000000000005000040000006000000000', 'hex'),
    ),
    call(1, `${SERVICE}/Status`, Buffer.alloc(0)),
  ),
  'many settings': session(...Array<Buffer>(500).fill(frame(SETTINGS, 0, 0))),
  'many pings': session(...Array<Buffer>(500).fill(frame(PING, 0, 0, '12345678'))),
  'a window of 0': session(frame(WINDOW, 0, 0, U32(0))),
  'a window that overflows': session(
    frame(WINDOW, 0, 0, U32(0x7fff_ffff)),
    frame(WINDOW, 0, 0, U32(0x7fff_ffff)),
  ),
  'a goodbye before a call': session(
    frame(GOAWAY, 0, 0, U32(0, 0)),
    call(1, `${SERVICE}/Status`, Buffer.alloc(0)),
  ),
  'a priority of itself': session(frame(PRIORITY, 0, 1, Buffer.from('0000000110', 'hex'))),
  'headers in many pieces': session(
    frame(HEADERS, 0, 1, HEADERS_OF_STATUS.subarray(0, 3)),
    ...Array.from({ length: 400 }, () => frame(CONTINUATION, 0, 1, '')),
    frame(CONTINUATION, END_HEADERS, 1, HEADERS_OF_STATUS.subarray(3)),
  ),
  'a piece of headers without a beginning': session(frame(CONTINUATION, END_HEADERS, 1, 'x')),
  'an index that does not exist': session(frame(HEADERS, END_HEADERS, 1, '\xff\xff\xff\xff\x0f')),
  'an integer without an end': session(frame(HEADERS, END_HEADERS, 1, '\xff'.repeat(40))),
  'a dynamic table of 4 GiB': session(frame(HEADERS, END_HEADERS, 1, '\x3f\xff\xff\xff\xff\x0f')),
  'a wrong Huffman code': session(frame(HEADERS, END_HEADERS, 1, '\0\x81\xff\x81\xff')),
  'headers of 60 KiB': session(
    frame(
      HEADERS,
      END_HEADERS,
      1,
      Buffer.concat([
        HEADERS_OF_STATUS,
        ...Array<Buffer>(480).fill(block([['a', 'x'.repeat(120)]])),
      ]).subarray(0, 16_000),
    ),
  ),
  'a header in capitals': session(frame(HEADERS, END_HEADERS, 1, block([['Path', '/']]))),
  'no pseudo-headers': session(frame(HEADERS, END_HEADERS, 1, block([['a', 'b']]))),
  'a CONNECT': session(
    frame(
      HEADERS,
      END_HEADERS,
      1,
      block([
        [':method', 'CONNECT'],
        [':authority', 'a:1'],
      ]),
    ),
  ),
  'a GET': session(
    frame(
      HEADERS,
      END_HEADERS | END_STREAM,
      1,
      block([
        [':method', 'GET'],
        [':scheme', 'http'],
        [':path', '/'],
      ]),
    ),
  ),
  'a frame of 16 MiB that never comes': session(Buffer.from('ffffff000000000001', 'hex')),
  'a preface alone': PREFACE,
  'HTTP/1.1': Buffer.from('POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello'),
  'a TLS hello': Buffer.from('160301020001000001fc0303', 'hex'),
  nothing: Buffer.alloc(0),
})
