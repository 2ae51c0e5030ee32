import type { CallContext } from '../../call-context.ts'
import type { Clock } from '../../time/clock.ts'
import { BridgeError } from '../../errors.ts'
import type { TransitKey } from '../../transit/key.ts'
import type { ContentCache, CachedContent } from './content-cache.ts'
import { requireSize, zeroFiles, type ContentFile } from './content.ts'
import type { KeyCache, KnownKey } from './key-cache.ts'
import { requireKey } from '../class/object-fault.ts'
import {
  isComposite,
  isPublic,
  keysOf,
  type CiphertextObject,
  type ClassObject,
  type ExportedKeyObject,
  type PublicObject,
} from '../class/object-types.ts'
import type { VolumeEngine, VolumeEngines } from '../identity/volume-engines.ts'
import { areCurrent, exportObjects } from './exported-keys.ts'
import { PublicContentCache } from './public-content-cache.ts'
import { decryptObjects, type ObjectContent } from './secret-content.ts'

/** Requests of a volume that export keys at once. An answer has up to 4 MiB. */
const EXPORTS_AT_ONCE = 4

/** Keys that a volume reads at once. */
const READS_AT_ONCE = 16
/** Of all keys of a volume: about 20 MiB of the JavaScript heap for RSA-4096. A key has as many as it was rotated. */
const MAX_VERSIONS = 20_000

export interface VolumeContentOptions {
  readonly keys: KeyCache
  readonly contents: ContentCache
  readonly clock: Clock
}

/** A volume: its objects, and their engines with the sessions of its pod. */
export interface Volume {
  /** Identifies pod, class and identity. */
  readonly id: string
  /** The namespace of the pod, which entries of caches count for. */
  readonly owner: string
  readonly objects: readonly ClassObject[]
  readonly engines: VolumeEngines
}

/** The content of a volume. The caller owns the files and zeroes them. */
export interface Gathered {
  readonly contents: ReadonlyMap<number, ObjectContent>
  /** When Vault returned the oldest part, in milliseconds of Clock.monotonic. */
  readonly confirmedAt: number
  /** Whether secret content came from the cache. */
  readonly isCached: boolean
}

type Contents = ReadonlyMap<number, ObjectContent>
/** By engine and name of the key. */
type Keys = ReadonlyMap<string, KnownKey | BridgeError>

/** The secret content of a volume. */
interface Secrets {
  readonly contents: Contents
  readonly fetchedAt: number
  readonly isCached: boolean
}

/** Collects the content of volumes from key metadata, the content cache and Vault. */
export class VolumeContent {
  readonly #options: VolumeContentOptions
  readonly #public: PublicContentCache

  constructor(options: VolumeContentOptions) {
    this.#options = options
    this.#public = new PublicContentCache(options.clock)
  }

  /** Never rejects: an object's error takes the place of its content. */
  async gather(volume: Volume, context: CallContext): Promise<Gathered> {
    const startedAt = this.#options.clock.monotonic()
    const reading = this.#readKeys(volume, context)
    const secrets = await this.#findSecrets(volume, reading, context)
    const keys = await reading
    const fetchTimes = secrets.contents.size === 0 ? [] : [secrets.fetchedAt]
    return {
      contents: new Map([...(await this.#makePublic(volume, keys)), ...secrets.contents]),
      confirmedAt: Math.min(startedAt, ...fetchTimes, ...readTimes(keys)),
      isCached: secrets.isCached,
    }
  }

  /** Zeroes the cached content of a volume, for example after a refusal. */
  forget(volume: Volume): void {
    this.#options.contents.forget(volume.id)
  }

  async #readKeys({ owner, objects, engines }: Volume, context: CallContext): Promise<Keys> {
    const wanted = [...groupByKey(objects.filter(needsKey), engines)]
    const keys = new Map<string, KnownKey | BridgeError>()
    let versions = 0
    for (let at = 0; at < wanted.length; at += READS_AT_ONCE) {
      const read = async ([id, group]: [string, KeyGroup<ClassObject>]) => {
        keys.set(id, await this.#readKey(group, owner, context).catch(asError))
        versions += countVersions(keys.get(id))
      }
      const next = wanted.slice(at, at + READS_AT_ONCE)
      if (versions > MAX_VERSIONS) for (const [id] of next) keys.set(id, tooManyVersions())
      else await Promise.all(next.map(read))
    }
    return keys
  }

  async #readKey(
    group: KeyGroup<ClassObject>,
    owner: string,
    context: CallContext,
  ): Promise<KnownKey> {
    const { key, engine, derivation } = group
    const rights = await engine.session.rights(context)
    const reader = { engine: engine.transit, place: engine.id, owner, rights, derivation }
    return this.#options.keys.read(key, reader, context)
  }

  async #decrypt({ objects, engines }: Volume, context: CallContext): Promise<Contents> {
    const groups = groupByKey(objects.filter(isCiphertext), engines)
    const parts = await Promise.all(
      [...groups.values()].map(({ key, engine, members }) =>
        decryptObjects(key, members, engine.transit, context),
      ),
    )
    return new Map(parts.flatMap((part) => [...part]))
  }

  /** Uses the cache while it has the current versions of exported keys; otherwise fetches everything from Vault. */
  async #findSecrets(
    volume: Volume,
    reading: Promise<Keys>,
    context: CallContext,
  ): Promise<Secrets> {
    const cached = this.#options.contents.find(volume.id)
    if (cached === undefined) return this.#fetchSecrets(volume, reading, context)
    const { files, fetchedAt } = cached
    if (this.#holdsExports(cached, volume, await reading))
      return { contents: files, fetchedAt, isCached: true }
    for (const outdated of files.values()) zeroFiles(outdated)
    return this.#fetchSecrets(volume, reading, context)
  }

  async #fetchSecrets(
    volume: Volume,
    reading: Promise<Keys>,
    context: CallContext,
  ): Promise<Secrets> {
    const fetchedAt = this.#options.clock.monotonic()
    const [values, exported] = await Promise.all([
      // Needs no key metadata: a ciphertext contains its key version.
      this.#decrypt(volume, context),
      reading.then((keys) => this.#export(volume, keys, context)),
    ])
    const contents = new Map([...values, ...exported])
    this.#cache(volume, contents, fetchedAt)
    return { contents, fetchedAt, isCached: false }
  }

  async #export({ objects, engines }: Volume, keys: Keys, context: CallContext): Promise<Contents> {
    let bytes = 0
    const count = (more: number) => requireSize((bytes += more))
    const exportGroup = async ({ key, engine, members }: KeyGroup<ExportedKeyObject>) => {
      try {
        // What the others exported is too large already.
        count(0)
        const found = findKey(key, engine, keys)
        return await exportObjects(members, found, engine.transit, context, count)
      } catch (thrown) {
        const error = asError(thrown)
        return new Map(members.map(({ index }) => [index, error]))
      }
    }
    const contents = new Map<number, ObjectContent>()
    const groups = groupByVersion(groupByKey(objects.filter(isExport), engines).values())
    for (let at = 0; at < groups.length; at += EXPORTS_AT_ONCE) {
      const made = await Promise.all(groups.slice(at, at + EXPORTS_AT_ONCE).map(exportGroup))
      for (const [index, content] of made.flatMap((each) => [...each])) contents.set(index, content)
    }
    return contents
  }

  /** Key metadata shows a rotation of an exported key before the cached content expires. */
  #holdsExports({ files }: CachedContent, { objects, engines }: Volume, keys: Keys): boolean {
    return objects.filter(isExport).every((object) => {
      const held = files.get(object.index)?.map(({ version }) => version) ?? []
      try {
        return areCurrent(held, object, findKey(object.key, engines.of(object), keys))
      } catch {
        return false
      }
    })
  }

  #cache({ id, owner }: Volume, values: Contents, fetchedAt: number): void {
    const files = new Map<number, readonly ContentFile[]>()
    for (const [index, content] of values) {
      // Incomplete content is not cached; the next Mount fetches everything.
      if (content instanceof BridgeError) return
      files.set(index, content)
    }
    this.#options.contents.keep(id, { files, fetchedAt }, owner)
  }

  async #makePublic({ objects, engines }: Volume, keys: Keys): Promise<Contents> {
    let bytes = 0
    const makeOne = async (object: PublicObject) => {
      const engine = engines.of(object)
      const derivation = derivationOf(object)
      const found = keysOf(object).map((name) => findKey(name, engine, keys, derivation))
      const files = await this.#public.make(object, found)
      requireSize((bytes += sizeOfFiles(files)))
      return files
    }
    const contents = new Map<number, ObjectContent>()
    let tooLarge: BridgeError | undefined
    for (const object of objects.filter(isPublic)) {
      const made = tooLarge ?? (await makeOne(object).catch(asError))
      contents.set(object.index, made)
      if (made instanceof BridgeError && made.code === 'CONTENT_TOO_LARGE') tooLarge = made
    }
    return contents
  }
}

function findKey(name: string, engine: VolumeEngine, keys: Keys, derivation?: Buffer): TransitKey {
  const known = keys.get(identifyKey(name, engine, derivation))
  if (known instanceof BridgeError) throw known
  return requireKey(known?.key, name, engine.place)
}

function identifyKey(name: string, engine: VolumeEngine, derivation?: Buffer): string {
  const id = `${engine.id} ${name}`
  return derivation === undefined ? id : `${id} ${derivation.toString('base64')}`
}

/** The context that decides what the public keys are. That of a ciphertext does not change the metadata of its key. */
function derivationOf(object: ClassObject): Buffer | undefined {
  return object.type === 'publicKey' || object.type === 'jwks' ? object.context : undefined
}

/** Objects with the same engine, key, and context of their public keys. */
interface KeyGroup<T extends ClassObject> {
  readonly key: string
  readonly engine: VolumeEngine
  readonly derivation: Buffer | undefined
  readonly members: T[]
}

/** An object with several keys is in several groups. */
function groupByKey<T extends ClassObject>(
  objects: readonly T[],
  engines: VolumeEngines,
): Map<string, KeyGroup<T>> {
  const groups = new Map<string, KeyGroup<T>>()
  for (const object of objects) {
    const engine = engines.of(object)
    const derivation = derivationOf(object)
    for (const key of keysOf(object)) {
      const id = identifyKey(key, engine, derivation)
      const group = groups.get(id) ?? { key, engine, derivation, members: [] }
      group.members.push(object)
      groups.set(id, group)
    }
  }
  return groups
}

/** Objects of one key with different versions are separate requests, which policies can tell apart. */
function groupByVersion(
  groups: Iterable<KeyGroup<ExportedKeyObject>>,
): KeyGroup<ExportedKeyObject>[] {
  return [...groups].flatMap((group) => {
    const byVersion = Map.groupBy(group.members, ({ version }) => version)
    return [...byVersion.values()].map((members) => ({ ...group, members }))
  })
}

function countVersions(known: KnownKey | BridgeError | undefined): number {
  return known === undefined || known instanceof BridgeError ? 0 : (known.key?.versions.size ?? 0)
}

function tooManyVersions(): BridgeError {
  return new BridgeError(
    'CONTENT_TOO_LARGE',
    `the keys of the class have more than ${MAX_VERSIONS.toLocaleString('en')} versions together; use several classes, or remove old versions (min_available_version, trim)`,
  )
}

function readTimes(keys: Keys): number[] {
  return [...keys.values()].flatMap((known) => (known instanceof BridgeError ? [] : known.readAt))
}

function isCiphertext(object: ClassObject): object is CiphertextObject {
  return object.type === 'decrypt' || object.type === 'dataKey'
}

function isExport(object: ClassObject): object is ExportedKeyObject {
  return object.type === 'exportedKey'
}

/** Also false for bundles and templates, which have no key. */
function needsKey(object: ClassObject): boolean {
  return !isCiphertext(object) && !isComposite(object)
}

function sizeOfFiles(files: readonly ContentFile[]): number {
  return files.reduce((sum, { contents }) => sum + contents.byteLength, 0)
}

function asError(thrown: unknown): BridgeError {
  return BridgeError.from(thrown)
}
