import {
  encodeAssociatedData,
  makeAnnotations,
  makeLocalAnnotations,
  type Annotations,
} from '../../../src/seed/annotations.ts'
import { encodeLocalKeyAssociatedData, sealSeed } from '../../../src/seed/local-seal.ts'
import { encodeV1AssociatedData, makeV1Cipher } from '../../../src/seed/v1-cipher.ts'
import { CLUSTER, FORMER_CLUSTER, LATEST_VERSION, MIN_VERSION, type KeyRing } from './key-ring.ts'
import type { Random } from './random.ts'

export type Problem = 'unreadable' | 'unproven'

/** A DEK source as the API server has it in memory and in etcd, and what is true about it. */
export type DekSource = {
  readonly api: 'v1' | 'v2'
  readonly provider: string
  /** What decrypts objects. */
  readonly plaintext: Buffer
  readonly ciphertext: Buffer
  readonly isSeed: boolean
  /** Of KMS v2. */
  readonly keyId: string
  readonly annotations: Annotations
  /** Of the Transit ciphertext; undefined for other texts. */
  readonly version?: number | undefined
  /** What prevents its decryption. */
  readonly problem?: Problem | undefined
  /** Whether {@link DekSource.plaintext} has the length of an AES key or of a seed. */
  readonly isLongEnough: boolean
}

export type SourceContext = {
  readonly random: Random
  readonly ring: KeyRing
  /** Of kms.acceptFrom. */
  readonly acceptsVaultKubernetesKms: boolean
}

type Maker = (context: SourceContext) => Promise<DekSource>

/** A source that is broken, or of another plugin: each kind about as often as the others. */
export function makeOtherSource(context: SourceContext): Promise<DekSource> {
  return context.random.pick([...BROKEN, ...OTHERS])(context)
}

/** What the plugin wrote, intact. */
export async function makeOwnSource(context: SourceContext): Promise<DekSource> {
  const { random } = context
  const cluster = random.pick([CLUSTER, CLUSTER, FORMER_CLUSTER])
  const version = MIN_VERSION + random.below(LATEST_VERSION - MIN_VERSION + 1)
  const make = random.pick([ownV1, ownV2, ownV2, underLocalKey, underLocalKey])
  return make(context, cluster, version)
}

/** For each intact source of the plugin, one with the same ciphertext and another key id or annotation. */
export function makeTwins(
  { random, ring }: SourceContext,
  sources: readonly DekSource[],
): readonly DekSource[] {
  return sources
    .filter(({ api, keyId, problem }) => api === 'v2' && keyId.startsWith('tb1-') && !problem)
    .map((source) => ({
      ...source,
      problem: 'unreadable',
      ...random.pick([
        { keyId: ring.keyId(CLUSTER, LATEST_VERSION, 'another-key') },
        { annotations: { ...source.annotations, 'twin.example': Buffer.from('1') } },
      ]),
    }))
}

async function ownV2(
  { random, ring }: SourceContext,
  cluster: string,
  version: number,
  length = 32,
): Promise<DekSource> {
  const annotations = makeAnnotations(cluster)
  const plaintext = random.bytes(length)
  const text = await ring.wrap(plaintext, version, encodeAssociatedData(annotations))
  return {
    api: 'v2',
    provider: random.pick(['transit-bridge', 'former']),
    plaintext,
    ciphertext: Buffer.from(text),
    isSeed: random.chance(0.8),
    keyId: ring.keyId(cluster, version),
    annotations,
    version,
    isLongEnough: length === 32,
  }
}

/** Local keys by cluster and version: many DEK sources share one, as those of one plugin do. */
const localKeys = new WeakMap<KeyRing, Map<string, Promise<LocalKey>>>()

interface LocalKey {
  readonly key: Buffer
  readonly wrapped: string
}

function localKeyOf(
  { random, ring }: SourceContext,
  cluster: string,
  version: number,
): Promise<LocalKey> {
  const known = localKeys.get(ring) ?? new Map<string, Promise<LocalKey>>()
  localKeys.set(ring, known)
  const id = `${cluster} ${String(version)} ${String(random.below(3))}`
  const make = async () => {
    const key = random.bytes(32)
    const wrapped = await ring.wrap(key, version, encodeLocalKeyAssociatedData(cluster))
    return { key, wrapped }
  }
  const localKey = known.get(id) ?? make()
  known.set(id, localKey)
  return localKey
}

/** As the plugin writes with kms.localKeys. */
async function underLocalKey(
  context: SourceContext,
  cluster: string,
  version: number,
): Promise<DekSource> {
  const direct = await ownV2(context, cluster, version)
  const { key, wrapped } = await localKeyOf(context, cluster, version)
  const annotations = makeLocalAnnotations(cluster, wrapped)
  const ciphertext = sealSeed(key, direct.plaintext, encodeAssociatedData(annotations))
  return { ...direct, ciphertext, annotations }
}

async function ownV1(
  { random, ring }: SourceContext,
  cluster: string,
  version: number,
): Promise<DekSource> {
  const plaintext = random.bytes(32)
  const text = await ring.wrap(plaintext, version, encodeV1AssociatedData(cluster))
  return {
    api: 'v1',
    provider: random.pick(['transit-bridge', 'odd:name']),
    plaintext,
    ciphertext: makeV1Cipher(cluster, text),
    isSeed: false,
    keyId: '',
    annotations: {},
    version,
    isLongEnough: true,
  }
}

/** An intact source of the plugin in which one thing is changed. */
const broken =
  (change: (source: DekSource, context: SourceContext) => Partial<DekSource>): Maker =>
  async (context) => {
    const source = await ownV2(context, CLUSTER, LATEST_VERSION)
    return { ...source, problem: 'unreadable', ...change(source, context) }
  }

/** The same for a source under a local key. */
const brokenLocal =
  (change: (source: DekSource, context: SourceContext) => Partial<DekSource>): Maker =>
  async (context) => {
    const source = await underLocalKey(context, CLUSTER, LATEST_VERSION)
    return { ...source, problem: 'unreadable', ...change(source, context) }
  }

const LOCAL_KEY = 'local-key.transit-bridge.internal'

const BROKEN: readonly Maker[] = [
  brokenLocal(({ ciphertext }) => ({ ciphertext: changeCharacter(ciphertext) })),
  brokenLocal(({ ciphertext }) => ({ ciphertext: ciphertext.subarray(0, 40) })),
  brokenLocal((_source, { ring }) => ({ keyId: ring.keyId(CLUSTER, LATEST_VERSION - 1) })),
  brokenLocal(({ annotations }, { random }) => ({
    annotations: { ...annotations, [LOCAL_KEY]: random.bytes(60) },
    version: undefined,
  })),
  brokenLocal(({ annotations }) => ({
    annotations: {
      ...annotations,
      [LOCAL_KEY]: changeCharacter(Buffer.from(annotations[LOCAL_KEY] ?? [])),
    },
  })),
  // A DEK source that Transit encrypted in place of the local key.
  async (context) => {
    const source = await underLocalKey(context, CLUSTER, LATEST_VERSION)
    const other = await ownV2(context, CLUSTER, LATEST_VERSION)
    const annotations = { ...source.annotations, [LOCAL_KEY]: other.ciphertext }
    return { ...source, annotations, problem: 'unreadable' }
  },
  // The seed of another local key.
  async (context) => {
    const source = await underLocalKey(context, CLUSTER, LATEST_VERSION)
    const wrapped = await context.ring.wrap(
      context.random.bytes(32),
      LATEST_VERSION,
      encodeLocalKeyAssociatedData(CLUSTER),
    )
    return { ...source, annotations: makeLocalAnnotations(CLUSTER, wrapped), problem: 'unreadable' }
  },
  broken((_source, { ring }) => ({ keyId: ring.keyId(CLUSTER, LATEST_VERSION - 1) })),
  broken((_source, { ring }) => ({ keyId: ring.keyId(FORMER_CLUSTER, LATEST_VERSION) })),
  broken((_source, { ring }) => ({ keyId: ring.keyId(CLUSTER, LATEST_VERSION, 'other-key') })),
  broken(() => ({ keyId: 'not-of-transit-bridge' })),
  broken(() => ({ annotations: {} })),
  broken(({ annotations }) => ({ annotations: { ...annotations, more: Buffer.from('1') } })),
  broken(() => ({ annotations: makeAnnotations(FORMER_CLUSTER) })),
  broken(({ ciphertext }) => ({ ciphertext: changeCharacter(ciphertext) })),
  broken((_source, { random }) => ({
    ciphertext: Buffer.concat([Buffer.from('opaque'), random.bytes(60)]),
    version: undefined,
  })),
  broken((_source, { random, ring }) => ({
    ciphertext: Buffer.from(`vault:v9:${random.bytes(60).toString('base64')}`),
    keyId: ring.keyId(CLUSTER, 9),
    version: 9,
  })),
  async (context) => ({ ...(await ownV2(context, CLUSTER, 1)), problem: 'unreadable' }),
  async (context) => ({ ...(await ownV2(context, 'other', 3)), problem: 'unreadable' }),
  async (context) => ({ ...(await ownV1(context, CLUSTER, 1)), problem: 'unreadable' }),
  async (context) => ({ ...(await ownV1(context, 'other', 3)), problem: 'unreadable' }),
  async (context) => {
    const source = await ownV1(context, CLUSTER, 3)
    return { ...source, ciphertext: changeCharacter(source.ciphertext), problem: 'unreadable' }
  },
  async (context) => {
    const source = await ownV1(context, CLUSTER, 3)
    const ciphertext = Buffer.concat([
      Buffer.from('transit-bridge:v1:??:'),
      context.random.bytes(9),
    ])
    return { ...source, ciphertext, version: undefined, problem: 'unreadable' }
  },
  (context) => ownV2(context, CLUSTER, LATEST_VERSION, context.random.pick([15, 20, 31])),
]

/** Another base64 character before the end of the text. */
function changeCharacter(text: Buffer): Buffer {
  const changed = Buffer.from(text)
  const at = changed.length - 20
  changed[at] = changed[at] === 0x41 ? 0x42 : 0x41
  return changed
}

/** What another plugin wrote. */
const OTHERS: readonly Maker[] = [
  // vault-kubernetes-kms: the bare version as key id, no annotations, no associated data.
  async (context) => {
    const { random, ring, acceptsVaultKubernetesKms } = context
    const version = 1 + random.below(LATEST_VERSION)
    const plaintext = random.bytes(32)
    const text = await ring.wrap(plaintext, version)
    const isV1 = random.chance(0.3)
    const accepted = version < MIN_VERSION ? 'unreadable' : undefined
    return {
      ...(await foreign(context)),
      api: isV1 ? 'v1' : 'v2',
      provider: 'vault',
      plaintext,
      ciphertext: Buffer.from(text),
      keyId: isV1 ? '' : String(version),
      annotations: {},
      version,
      problem: acceptsVaultKubernetesKms ? accepted : 'unproven',
    }
  },
  foreign,
  async (context) => ({ ...(await foreign(context)), api: 'v1', keyId: '', annotations: {} }),
  // Like that of vault-kubernetes-kms, but not a Transit ciphertext.
  async (context) => ({
    ...(await foreign(context)),
    provider: 'vault',
    keyId: '3',
    annotations: {},
    problem: context.acceptsVaultKubernetesKms ? 'unreadable' : 'unproven',
  }),
]

function foreign({ random }: SourceContext): Promise<DekSource> {
  return Promise.resolve({
    api: 'v2',
    provider: 'cloud',
    plaintext: random.bytes(32),
    ciphertext: Buffer.concat([Buffer.from('opaque'), random.bytes(80)]),
    isSeed: random.chance(0.8),
    keyId: 'arn:cloud:key/1',
    annotations: random.chance(0.5) ? { 'version.cloud.example': Buffer.from('1') } : {},
    problem: 'unproven',
    isLongEnough: true,
  })
}
