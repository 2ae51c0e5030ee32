import type { Random } from '../verify/random/random.ts'

/** Bytes and numbers at which parsers make decisions. */
const BYTES = [0, 1, 0x0a, 0x0d, 0x20, 0x2c, 0x30, 0x3a, 0x7f, 0x80, 0xff]
const NUMBERS = [
  0, 1, 0x7f, 0x80, 0xff, 0x4000, 0xffff, 0xff_ffff, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff,
]
const MAX_BYTES = 256 * 1024
/** Of a frame of HTTP/2 (RFC 9113, section 4.1). */
const HEAD_BYTES = 9

type Change = (random: Random, bytes: Buffer, others: readonly Buffer[]) => Buffer

/** Where a part begins and ends, at most a few dozen bytes. */
function range(random: Random, bytes: Buffer): readonly [number, number] {
  const start = random.below(bytes.length + 1)
  return [start, Math.min(bytes.length, start + random.below(1 << random.below(7)))]
}

function replace(bytes: Buffer, [start, end]: readonly [number, number], by: Uint8Array): Buffer {
  return Buffer.concat([bytes.subarray(0, start), by, bytes.subarray(end)])
}

const CHANGES: readonly Change[] = [
  (random, bytes) => {
    const changed = Buffer.from(bytes)
    const at = random.below(bytes.length)
    if (bytes.length > 0) changed.writeUInt8(changed.readUInt8(at) ^ (1 << random.below(8)), at)
    return changed
  },
  (random, bytes) => {
    const [start] = range(random, bytes)
    return replace(bytes, [start, start + 1], Buffer.of(random.pick(BYTES)))
  },
  (random, bytes) => replace(bytes, range(random, bytes), Buffer.alloc(0)),
  (random, bytes) => {
    const [start, end] = range(random, bytes)
    const copies = Array<Buffer>(1 + random.below(1 << random.below(9))).fill(
      bytes.subarray(start, end),
    )
    return replace(bytes, [start, start], Buffer.concat(copies))
  },
  (random, bytes) => {
    const [start] = range(random, bytes)
    return replace(bytes, [start, start], random.bytes(random.below(20)))
  },
  (random, bytes) => {
    const [start] = range(random, bytes)
    const number = Buffer.alloc(4)
    number.writeUInt32BE(random.pick(NUMBERS))
    const width = 1 + random.below(4)
    return replace(bytes, [start, start + width], number.subarray(4 - width))
  },
  (random, bytes, others) => {
    const other = random.pick(others)
    return replace(bytes, range(random, bytes), other.subarray(...range(random, other)))
  },
  (random, bytes) => bytes.subarray(0, random.below(bytes.length + 1)),
]

/** One to five changes of a few bytes each. */
export function mutate(random: Random, bytes: Buffer, others: readonly Buffer[]): Buffer {
  let changed = bytes
  for (let count = 1 + random.below(5); count > 0; count -= 1)
    changed = random.pick(CHANGES)(random, changed, others).subarray(0, MAX_BYTES)
  return changed
}

/** Splits bytes of HTTP/2 into its preface and its frames; undefined if they are not that. */
function splitFrames(bytes: Buffer, prefaceBytes: number): Buffer[] | undefined {
  const frames: Buffer[] = []
  for (let at = prefaceBytes; at < bytes.length;) {
    if (at + HEAD_BYTES > bytes.length) return undefined
    const end = at + HEAD_BYTES + bytes.readUIntBE(at, 3)
    if (end > bytes.length) return undefined
    frames.push(bytes.subarray(at, end))
    at = end
  }
  return frames
}

/** Changes whole frames, or the payload of one with its length made right, so that the change reaches the layers above. */
export function mutateFrames(
  random: Random,
  bytes: Buffer,
  others: readonly Buffer[],
  preface: Buffer,
): Buffer {
  const frames = bytes.subarray(0, preface.length).equals(preface)
    ? splitFrames(bytes, preface.length)
    : undefined
  if (frames === undefined || frames.length === 0 || random.chance(0.2))
    return mutate(random, bytes, others)
  for (let count = 1 + random.below(4); count > 0; count -= 1) {
    const at = random.below(frames.length)
    const chosen = frames[at] ?? Buffer.alloc(HEAD_BYTES)
    const head = Buffer.from(chosen.subarray(0, HEAD_BYTES))
    const payload = chosen.subarray(HEAD_BYTES)
    const foreign = splitFrames(random.pick(others), preface.length) ?? []
    switch (random.below(7)) {
      case 0:
        frames.splice(at, 1)
        break
      case 1:
        frames.splice(at, 0, ...Array<Buffer>(1 + random.below(100)).fill(chosen))
        break
      case 2:
        frames.splice(random.below(frames.length + 1), 0, ...foreign)
        break
      case 3:
        head.writeUInt8(random.below(11), 3)
        frames[at] = Buffer.concat([head, payload])
        break
      case 4:
        head.writeUInt8(random.below(256), 4)
        frames[at] = Buffer.concat([head, payload])
        break
      case 5:
        head.writeUInt32BE(random.pick([0, 1, 2, 3, 5, 7, 0x7fff_ffff, 0xffff_ffff]), 5)
        frames[at] = Buffer.concat([head, payload])
        break
      default: {
        const changed = mutate(random, payload, others).subarray(0, 16_384)
        head.writeUIntBE(changed.length, 0, 3)
        frames[at] = Buffer.concat([head, changed])
      }
    }
    if (frames.length === 0) break
  }
  return Buffer.concat([preface, ...frames]).subarray(0, MAX_BYTES)
}

/** The packets in which a client sends bytes: mostly one, sometimes several. */
export function splitPackets(random: Random, bytes: Buffer): readonly Buffer[] {
  if (random.chance(0.6)) return [bytes]
  const cuts = Array.from({ length: 1 + random.below(4) }, () =>
    random.below(bytes.length + 1),
  ).toSorted((one, other) => one - other)
  return [0, ...cuts].map((from, at) => bytes.subarray(from, cuts[at]))
}
