import { createHash, hkdfSync, timingSafeEqual } from 'node:crypto'
import * as v from 'valibot'

import { openDerived, sealDerived } from '../../seed/derived-seal.ts'
import { LOCAL_KEY_BYTES } from '../../seed/local-seal.ts'
import type { Moment } from '../../time/boot-time.ts'
import type { TransitKey } from '../../transit/key.ts'

/** A local key as the sealed file holds it. */
export interface KeptLocalKey {
  readonly ciphertext: string
  readonly clusterId: string
  readonly keyId: string
  /** The owner zeroes it. */
  readonly key: Buffer
  /** Whether this plugin encrypts with it. */
  readonly isOwn: boolean
  /** Whether it encrypts during an outage, because other plugins know it. Files of older versions do not say so. */
  readonly isShared?: boolean | undefined
}

/** What a plugin needs to start without Vault. */
export interface OfflineState {
  readonly key: TransitKey
  /** When Vault last agreed. */
  readonly agreedAt: Moment
  readonly localKeys: readonly KeptLocalKey[]
}

/** Zeroes the local keys. */
export function wipeLocalKeys(state: Pick<OfflineState, 'localKeys'> | undefined): void {
  for (const { key } of state?.localKeys ?? []) key.fill(0)
}

/** Which plugin a sealed file belongs to. */
export interface SealedOwner {
  readonly clusterId: string
  /** The Transit key with its mount and namespace: at another path in Vault, a key with the same name is another key. */
  readonly keyPath: string
}

/** Why a sealed file cannot be used, as the end of a message: "FILE …". */
export type SealedFault = string

export const OTHER_NODE_KEY: SealedFault =
  'was sealed with another node key: it comes from another machine, or the node key was replaced'

export const NODE_KEY_BYTES = 32

const MAGIC = 'transit-bridge sealed file, version 1\n'
const STATE_DOMAIN = 'transit-bridge/sealed-file/v1'
const CHECK_DOMAIN = 'transit-bridge/node-key-check/v1'
const CHECK_BYTES = 8

const Header = v.strictObject({
  cluster: v.string(),
  key: v.string(),
  /** Differs between node keys, so that a message can distinguish another node key from damage. */
  nodeKeyCheck: v.string(),
})

const Version = v.tuple([v.number(), v.number()])
const Content = v.object({
  agreedAt: v.object({ bootId: v.string(), sinceBootMs: v.number(), wallMs: v.number() }),
  key: v.pipe(
    v.object({
      name: v.string(),
      type: v.string(),
      latestVersion: v.number(),
      minDecryptionVersion: v.number(),
      minEncryptionVersion: v.number(),
      derived: v.boolean(),
      softDeleted: v.boolean(),
      versions: v.array(Version),
    }),
    v.check(({ latestVersion, versions }) =>
      versions.some(([version]) => version === latestVersion),
    ),
  ),
  localKeys: v.array(
    v.object({
      ciphertext: v.string(),
      clusterId: v.string(),
      keyId: v.string(),
      isOwn: v.boolean(),
      isShared: v.optional(v.boolean()),
    }),
  ),
})

/** The whole file: a line that says what it is, a line of JSON in the clear, and the sealed state. */
export function formatSealedFile(
  state: OfflineState,
  owner: SealedOwner,
  nodeKey: Uint8Array,
): Buffer {
  const header = Buffer.from(
    `${MAGIC}${JSON.stringify({
      cluster: owner.clusterId,
      key: owner.keyPath,
      nodeKeyCheck: checkOf(nodeKey),
    } satisfies v.InferOutput<typeof Header>)}\n`,
  )
  const content = encodeState(state)
  try {
    return Buffer.concat([header, sealDerived(nodeKey, STATE_DOMAIN, content, header)])
  } finally {
    content.fill(0)
  }
}

/** Reads a sealed file, or returns why it cannot be used. The caller owns the local keys and zeroes them. */
export function parseSealedFile(
  file: Buffer,
  owner: SealedOwner,
  nodeKey: Uint8Array,
): OfflineState | SealedFault {
  const end = file.indexOf('\n', MAGIC.length) + 1
  if (!file.subarray(0, MAGIC.length).equals(Buffer.from(MAGIC)) || end === 0)
    return 'is not a sealed file of this version'
  const header = readHeader(file.toString('utf8', MAGIC.length, end))
  if (header === undefined) return 'is damaged'
  if (header.cluster !== owner.clusterId || header.key !== owner.keyPath)
    return `belongs to ${describe(header.cluster, header.key)}, not to ${describe(owner.clusterId, owner.keyPath)}`
  if (!isSame(header.nodeKeyCheck, checkOf(nodeKey))) return OTHER_NODE_KEY
  const content = openDerived(nodeKey, STATE_DOMAIN, file.subarray(end), file.subarray(0, end))
  if (content === undefined) return 'is damaged'
  try {
    return decodeState(content) ?? 'is damaged'
  } finally {
    content.fill(0)
  }
}

function describe(cluster: string, key: string): string {
  return `key ${JSON.stringify(key.slice(0, 128))} of cluster ${JSON.stringify(cluster.slice(0, 128))}`
}

function checkOf(nodeKey: Uint8Array): string {
  return Buffer.from(hkdfSync('sha256', nodeKey, '', CHECK_DOMAIN, CHECK_BYTES)).toString('hex')
}

function isSame(one: string, other: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(one), digest(other))
}

function readHeader(line: string): v.InferOutput<typeof Header> | undefined {
  const parsed = v.safeParse(Header, parseJson(line))
  return parsed.success ? parsed.output : undefined
}

/** The length of the JSON, the JSON, which has no secrets, and then the local keys: no secret ever becomes a string. */
function encodeState({ key, agreedAt, localKeys }: OfflineState): Buffer {
  const content = {
    agreedAt,
    key: {
      ...key,
      versions: [...key.versions].map(([version, { createdAt }]): [number, number] => [
        version,
        createdAt,
      ]),
    },
    localKeys: localKeys.map(({ key: _secret, ...rest }) => rest),
  } satisfies v.InferOutput<typeof Content>
  const text = Buffer.from(JSON.stringify(content))
  const length = Buffer.alloc(4)
  length.writeUInt32BE(text.length)
  return Buffer.concat([length, text, ...localKeys.map((each) => each.key)])
}

function decodeState(content: Buffer): OfflineState | undefined {
  if (content.length < 4) return undefined
  const start = 4 + content.readUInt32BE(0)
  const parsed = v.safeParse(Content, parseJson(content.toString('utf8', 4, start)))
  if (!parsed.success) return undefined
  const { agreedAt, key, localKeys } = parsed.output
  if (content.length !== start + localKeys.length * LOCAL_KEY_BYTES) return undefined
  return {
    agreedAt,
    key: {
      ...key,
      versions: new Map(key.versions.map(([version, createdAt]) => [version, { createdAt }])),
    },
    localKeys: localKeys.map((each, index) => {
      const at = start + index * LOCAL_KEY_BYTES
      return { ...each, key: Buffer.from(content.subarray(at, at + LOCAL_KEY_BYTES)) }
    }),
  }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
