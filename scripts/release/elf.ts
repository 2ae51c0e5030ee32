// Reads which shared libraries a program names. Unlike ldd, it runs nothing, so it works for other architectures, too.
import { closeSync, openSync, readSync } from 'node:fs'

/** elf(5), for 64-bit little-endian files, which x64 and arm64 have. */
const PT_LOAD = 1
const PT_DYNAMIC = 2
const PT_INTERP = 3
const DT_NEEDED = 1n
const DT_STRTAB = 5n
const DT_STRSZ = 10n

export interface Needs {
  /** The full path of the dynamic loader; undefined for a library. */
  readonly loader: string | undefined
  readonly libraries: readonly string[]
}

interface Segment {
  readonly type: number
  readonly offset: number
  readonly address: number
  readonly size: number
}

export function readNeeds(file: string): Needs {
  const descriptor = openSync(file, 'r')
  const read = (offset: number, size: number): Buffer => {
    const buffer = Buffer.alloc(size)
    if (readSync(descriptor, buffer, 0, size, offset) !== size)
      throw new Error(`${file} is cut off`)
    return buffer
  }
  try {
    const header = read(0, 64)
    if (header.toString('latin1', 0, 6) !== '\x7fELF\x02\x01')
      throw new Error(`${file} is not a 64-bit little-endian ELF file`)
    const segments = readSegments(header, read)
    const interpreter = segments.find(({ type }) => type === PT_INTERP)
    const loader = interpreter && textAt(read(interpreter.offset, interpreter.size), 0)
    return { loader, libraries: readLibraries(segments, read) }
  } finally {
    closeSync(descriptor)
  }
}

type Read = (offset: number, size: number) => Buffer

function readSegments(header: Buffer, read: Read): readonly Segment[] {
  const size = header.readUInt16LE(54)
  const table = read(Number(header.readBigUInt64LE(32)), size * header.readUInt16LE(56))
  return Array.from({ length: header.readUInt16LE(56) }, (_, index) => {
    const at = index * size
    return {
      type: table.readUInt32LE(at),
      offset: Number(table.readBigUInt64LE(at + 8)),
      address: Number(table.readBigUInt64LE(at + 16)),
      size: Number(table.readBigUInt64LE(at + 32)),
    }
  })
}

function readLibraries(segments: readonly Segment[], read: Read): readonly string[] {
  const dynamic = segments.find(({ type }) => type === PT_DYNAMIC)
  if (dynamic === undefined) return []
  const table = read(dynamic.offset, dynamic.size)
  const entries = Array.from({ length: Math.floor(dynamic.size / 16) }, (_, index) => ({
    tag: table.readBigInt64LE(index * 16),
    value: Number(table.readBigUInt64LE(index * 16 + 8)),
  }))
  const valueOf = (tag: bigint) => entries.find((entry) => entry.tag === tag)?.value ?? 0
  const address = valueOf(DT_STRTAB)
  const segment = segments.find(
    ({ type, address: start, size }) =>
      type === PT_LOAD && start <= address && address < start + size,
  )
  if (segment === undefined) return []
  const names = read(segment.offset + address - segment.address, valueOf(DT_STRSZ))
  return entries.filter(({ tag }) => tag === DT_NEEDED).map(({ value }) => textAt(names, value))
}

function textAt(buffer: Buffer, start: number): string {
  return buffer.toString('latin1', start, buffer.indexOf(0, start))
}
