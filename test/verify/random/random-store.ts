import {
  makeOtherSource,
  makeOwnSource,
  makeTwins,
  type DekSource,
  type SourceContext,
} from './dek-sources.ts'
import { DEFINITIONS, NAMEABLE, NAMESPACES, NOWHERE, OTHERS, type Layout } from './layouts.ts'
import type { KeyRing } from './key-ring.ts'
import { Random } from './random.ts'
import { makeRules, type RandomRule } from './rules.ts'
import {
  makeCbc,
  makeDamaged,
  makeLocal,
  makePlain,
  makeSealed,
  type RandomObject,
} from './stored-objects.ts'

/** A store with everything that is true about it, and the options of `verify` for it. */
export type RandomStore = {
  readonly seed: number
  readonly prefix: string
  readonly objects: readonly RandomObject[]
  /** Keys that do not have the prefix. */
  readonly outside: readonly string[]
  readonly depth: 'envelopes' | 'seeds' | 'objects'
  readonly acceptsVaultKubernetesKms: boolean
  readonly rules?: readonly RandomRule[] | undefined
  /** Of --resources. */
  readonly resources?: readonly Layout[] | undefined
  /** Of --allow. */
  readonly allowed: readonly Layout[]
}

export type RandomStoreOptions = {
  /** Default: one of several. */
  readonly prefix?: string
  readonly depth?: RandomStore['depth']
}

/** The same store for the same seed, except for what the key ring does. */
export async function makeStore(
  seed: number,
  ring: KeyRing,
  options: RandomStoreOptions = {},
): Promise<RandomStore> {
  const random = new Random(seed)
  const prefix = options.prefix ?? random.pick(['/registry/', '/kubernetes.io/', '/a/b/', '/'])
  const acceptsVaultKubernetesKms = random.chance(0.5)
  const context: SourceContext = { random, ring, acceptsVaultKubernetesKms }
  // A fault is most easily missed where everything else is correct.
  const isTidy = random.chance(0.4)
  const sources: DekSource[] = [await makeOwnSource(context)]
  for (let more = random.below(4); more > 0; more -= 1) {
    const make = isTidy || random.chance(0.5) ? makeOwnSource : makeOtherSource
    sources.push(await make(context))
  }
  if (!isTidy && random.chance(0.3)) sources.push(...makeTwins(context, sources))
  const objects = makeObjects(random, prefix, sources, isTidy)
  if (isTidy && random.chance(0.5)) await spoilOne(context, objects)
  return {
    seed,
    prefix,
    objects,
    outside:
      prefix === '/' ? ['compact_rev_key'] : OUTSIDE.filter((key) => !key.startsWith(prefix)),
    depth: options.depth ?? random.pick(['envelopes', 'seeds', 'objects']),
    acceptsVaultKubernetesKms,
    rules: random.chance(0.6) ? makeRules(random, isTidy) : undefined,
    resources: random.chance(0.2) ? pickResources(random) : undefined,
    allowed: random.chance(0.4) ? random.some([...NAMEABLE, ...OTHERS, ...NOWHERE], 0.25) : [],
  }
}

const OUTSIDE: readonly string[] = [
  'compact_rev_key',
  '/registry2/secrets/default/a',
  '/a/bb/secrets/default/a',
  '/registrx',
]

function pickResources(random: Random): readonly Layout[] {
  const custom = NOWHERE.filter(({ group }) => group !== '')
  const chosen = random.some([...NAMEABLE, ...custom], 0.25)
  return chosen.length > 0 ? chosen : [random.pick(NAMEABLE)]
}

/** The shares of plaintext, and of what is damaged or encrypted by a local key. */
type Mix = { readonly plain: number; readonly damaged: number; readonly local: number }

const ENCRYPTED: Mix = { plain: 0, damaged: 0, local: 0 }
const PLAIN: Mix = { plain: 1, damaged: 0, local: 0 }
const MIXES: readonly Mix[] = [
  ENCRYPTED,
  PLAIN,
  { plain: 0.05, damaged: 0, local: 0 },
  { plain: 0, damaged: 0.05, local: 0 },
  { plain: 0, damaged: 0, local: 1 },
  { plain: 0.3, damaged: 0.1, local: 0.3 },
]

function makeObjects(
  random: Random,
  prefix: string,
  sources: readonly DekSource[],
  isTidy: boolean,
): RandomObject[] {
  const found = new Map<string, RandomObject>()
  const add = (layout: Layout, name: string, mix: Mix) => {
    const key = `${prefix}${layout.path(name)}`
    const value = isTidy ? makeTidyValue(random, sources, key, layout) : undefined
    found.set(key, { key, layout, ...(value ?? makeValue(random, sources, key, mix)) })
  }
  const used = [...random.some(NAMEABLE, 0.4), ...random.some(OTHERS, isTidy ? 0.05 : 0.15)]
  for (const layout of used) {
    const mix = random.pick(MIXES)
    const count = random.chance(0.05) ? 18 : random.below(8)
    for (let at = 0; at < count; at += 1) add(layout, pickName(random, at), mix)
  }
  if (isTidy || random.chance(0.85)) add(NAMESPACES, 'kube-system', random.pick(MIXES))
  for (const { resource, builtIn } of NAMEABLE)
    if (!builtIn && (isTidy || random.chance(0.4))) add(DEFINITIONS, resource, random.pick(MIXES))
  return [...found.values()]
}

/** Encrypted, except for what kube-apiserver never encrypts. */
function makeTidyValue(
  random: Random,
  sources: readonly DekSource[],
  key: string,
  { never }: Layout,
): Omit<RandomObject, 'key' | 'layout'> {
  return never ? makePlain(random) : makeSealed(random, random.pick(sources), key, false)
}

/** Replaces the value of one object by another kind of value. */
async function spoilOne(context: SourceContext, objects: RandomObject[]): Promise<void> {
  const { random } = context
  const at = random.below(objects.length)
  const object = objects[at]
  if (object === undefined) return
  const { key, layout } = object
  const source = await makeOtherSource(context)
  const whole = makeSealed(random, source, key, false)
  const value = random.pick([
    () => makePlain(random),
    () => makeLocal(random),
    () => makeDamaged(random, whole.value),
    () => makeSealed(random, source, key, true),
    () => whole,
  ])()
  objects[at] = { key, layout, ...value }
}

function pickName(random: Random, at: number): string {
  return `${random.pick(['web', 'ключ', 'x.y', '\u001b[2J', 'k8s:enc:', 'a b'])}-${String(at)}`
}

function makeValue(
  random: Random,
  sources: readonly DekSource[],
  key: string,
  { plain, damaged, local }: Mix,
): Omit<RandomObject, 'key' | 'layout'> {
  const source = random.pick(sources)
  const kind = random.next()
  if (kind < plain) return makePlain(random)
  if (kind < plain + damaged)
    return makeDamaged(random, makeSealed(random, source, key, false).value)
  if (kind < plain + damaged + local) return makeLocal(random)
  const isOld = source.api === 'v1' && source.isLongEnough && random.chance(0.3)
  return isOld ? makeCbc(source) : makeSealed(random, source, key, random.chance(0.1))
}
