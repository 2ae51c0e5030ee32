import {
  encodeAssociatedData,
  makeAnnotations,
  type Annotations,
} from '../../../src/seed/annotations.ts'
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
  return random.chance(0.2) ? ownV1(context, cluster, version) : ownV2(context, cluster, version)
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

const BROKEN: readonly Maker[] = [
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
