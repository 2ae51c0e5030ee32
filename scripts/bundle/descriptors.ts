import { readFileSync } from 'node:fs'
import { fromBinary } from '@bufbuild/protobuf'
import { base64Decode } from '@bufbuild/protobuf/wire'
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt'
import type { Plugin } from 'esbuild'

const DECODING = 'fromBinary(FileDescriptorProtoSchema, base64Decode(b64))'

/**
 * Decodes the descriptors of .proto files when the program is built. protobuf-es does it at every start, and first makes a
 * registry of all messages of descriptor.proto for it: 10 of 45 ms in which a server loads its modules (measured).
 */
export const decodeDescriptors: Plugin = {
  name: 'decode-descriptors',
  setup(bundle) {
    bundle.onLoad({ filter: /protobuf\/dist\/esm\/codegenv2\/file\.js$/ }, ({ path }) => {
      const parts = readFileSync(path, 'utf8').split(DECODING)
      if (parts.length !== 2) throw new Error(`${path} no longer contains ${DECODING}`)
      return { contents: parts.join('b64') }
    })
    bundle.onLoad({ filter: /_pb\.[jt]s$/ }, ({ path }) => ({
      contents: readFileSync(path, 'utf8').replace(
        /fileDesc\("([^"]+)"/,
        (_match, encoded: string) => `fileDesc(${decodedDescriptor(encoded)}`,
      ),
      loader: path.endsWith('.ts') ? 'ts' : 'js',
    }))
  },
}

/** An expression that returns what fromBinary would. */
function decodedDescriptor(encoded: string): string {
  const prototypes = new Map<unknown, string>()
  const text = write(fromBinary(FileDescriptorProtoSchema, base64Decode(encoded)), prototypes)
  const names = [...prototypes].map(
    ([prototype, name]) => `${name}=${write(prototype, prototypes)}`,
  )
  return `(()=>{const ${names.join(',')};return ${text}})()`
}

/** @param prototypes with the default values of each kind of message, and the names for them */
function write(value: unknown, prototypes: Map<unknown, string>): string {
  if (Array.isArray(value)) return `[${value.map((item) => write(item, prototypes)).join(',')}]`
  if (typeof value !== 'object' || value === null) {
    if (typeof value === 'bigint') throw new TypeError('a bigint in a descriptor')
    return JSON.stringify(value) ?? 'undefined'
  }
  if (ArrayBuffer.isView(value)) throw new TypeError('bytes in a descriptor')
  const prototype: unknown = Object.getPrototypeOf(value)
  const fields = Object.entries(value).map(([key, item]) => `${key}:${write(item, prototypes)}`)
  if (prototype === Object.prototype || prototypes.has(value)) return `{${fields.join(',')}}`
  if (!prototypes.has(prototype)) prototypes.set(prototype, `p${String(prototypes.size)}`)
  return `{${[`__proto__:${String(prototypes.get(prototype))}`, ...fields].join(',')}}`
}
