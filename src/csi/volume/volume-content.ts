import type { CallContext } from '../../call-context.ts'
import type { Clock } from '../../time/clock.ts'
import { BridgeError } from '../../errors.ts'
import type { TransitKey } from '../../transit/key.ts'
import type { ContentMemory, RememberedContent } from './content-memory.ts'
import { zeroFiles, type ContentFile } from './content.ts'
import type { KeyMemory, KnownKey } from './key-memory.ts'
import { requireKey } from '../class/object-fault.ts'
import {
  isPublic,
  type CiphertextObject,
  type ClassObject,
  type ExportedKeyObject,
} from '../class/object-types.ts'
import type { PodSession } from '../identity/pod-session.ts'
import { makePublicFiles } from './public-content.ts'
import {
  decryptObjects,
  exportedVersions,
  exportObject,
  type ObjectContent,
} from './secret-content.ts'

export interface VolumeContentOptions {
  readonly keys: KeyMemory
  readonly contents: ContentMemory
  /** Mount of the Transit engine. */
  readonly mount: string
  readonly clock: Clock
}

/** One volume: what it holds, for whom. */
export interface Volume {
  /** Stands for pod, class and identity. */
  readonly id: string
  readonly objects: readonly ClassObject[]
  readonly session: PodSession
}

/** What was gathered for a volume. The receiver owns the files and zeroes them. */
export interface Gathered {
  readonly contents: ReadonlyMap<number, ObjectContent>
  /** When Vault gave the oldest part, in milliseconds of Clock.monotonic. */
  readonly confirmedAt: number
  /** Whether decrypted content came from the cache. */
  readonly remembered: boolean
}

type Contents = ReadonlyMap<number, ObjectContent>
type Keys = ReadonlyMap<string, KnownKey | BridgeError>

/** The secret part of a volume. */
interface Secrets {
  readonly contents: Contents
  readonly fetchedAt: number
  readonly isCached: boolean
}

/** Gathers the content of volumes: from key metadata, from the cache, and the rest from Vault. */
export class VolumeContent {
  readonly #options: VolumeContentOptions

  constructor(options: VolumeContentOptions) {
    this.#options = options
  }

  /** A fault of one object is its content; only a fault of the whole identity is thrown. */
  async gather(volume: Volume, context: CallContext): Promise<Gathered> {
    const startedAt = this.#options.clock.monotonic()
    const reading = this.#readKeys(volume, context)
    const secrets = await this.#findSecrets(volume, reading, context)
    const keys = await reading
    const fetchTimes = secrets.contents.size === 0 ? [] : [secrets.fetchedAt]
    return {
      contents: new Map([...this.#makePublic(volume, keys), ...secrets.contents]),
      confirmedAt: Math.min(startedAt, ...fetchTimes, ...readTimes(keys)),
      remembered: secrets.isCached,
    }
  }

  /** Zeroes what is kept for a volume, as when Vault refuses: nothing may be served that Vault would not give. */
  forget(volume: Volume): void {
    this.#options.contents.forget(volume.id)
  }

  async #readKeys({ objects, session }: Volume, context: CallContext): Promise<Keys> {
    const names = new Set(objects.filter(needsKey).map(({ key }) => key))
    if (names.size === 0) return new Map()
    const { engine } = session
    const rights = await session.rights(context).catch(asError)
    if (rights instanceof BridgeError) return new Map([...names].map((name) => [name, rights]))
    const reader = { engine, rights }
    const read = async (name: string) =>
      [name, await this.#options.keys.read(name, reader, context).catch(asError)] as const
    return new Map(await Promise.all([...names].map(read)))
  }

  async #decrypt({ objects, session }: Volume, context: CallContext): Promise<Contents> {
    const byKey = Map.groupBy(objects.filter(isCiphertext), ({ key }) => key)
    const parts = await Promise.all(
      [...byKey].map(([key, group]) => decryptObjects(key, group, session.engine, context)),
    )
    return new Map(parts.flatMap((part) => [...part]))
  }

  /** From the cache while it holds the current versions of exported keys, otherwise everything from Vault. */
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
      // Needs no key metadata: a ciphertext names its version.
      this.#decrypt(volume, context),
      reading.then((keys) => this.#export(volume, keys, context)),
    ])
    const contents = new Map([...values, ...exported])
    this.#remember(volume, contents, fetchedAt)
    return { contents, fetchedAt, isCached: false }
  }

  async #export({ objects, session }: Volume, keys: Keys, context: CallContext): Promise<Contents> {
    const exportOne = async (object: ExportedKeyObject) => {
      const content = this.#withKey(object, keys, (key) =>
        exportObject(object, key, session.engine, context),
      )
      return [object.index, await content.catch(asError)] as const
    }
    return new Map(await Promise.all(objects.filter(isExport).map(exportOne)))
  }

  /** A rotation of an exported key shows in its metadata before the content is due to be validated. */
  #holdsExports({ files }: RememberedContent, { objects }: Volume, keys: Keys): boolean {
    return objects.filter(isExport).every((object) => {
      const known = keys.get(object.key)
      if (known === undefined || known instanceof BridgeError || known.key === undefined)
        return false
      const held = files.get(object.index)?.map(({ version }) => version) ?? []
      try {
        return held.join(' ') === exportedVersions(object, known.key).join(' ')
      } catch {
        return false
      }
    })
  }

  #remember({ id }: Volume, values: Contents, fetchedAt: number): void {
    const files = new Map<number, readonly ContentFile[]>()
    for (const [index, content] of values) {
      // A volume that lacks something is fetched again as a whole.
      if (content instanceof BridgeError) return
      files.set(index, content)
    }
    this.#options.contents.keep(id, { files, fetchedAt })
  }

  #makePublic({ objects }: Volume, keys: Keys): Contents {
    const contents = new Map<number, ObjectContent>()
    for (const object of objects.filter(isPublic)) {
      try {
        contents.set(object.index, makePublicFiles(object, this.#keyOf(object, keys)))
      } catch (thrown) {
        contents.set(object.index, BridgeError.from(thrown))
      }
    }
    return contents
  }

  async #withKey<T>(
    object: ClassObject,
    keys: Keys,
    use: (key: TransitKey) => Promise<T>,
  ): Promise<T> {
    return use(this.#keyOf(object, keys))
  }

  #keyOf({ key }: ClassObject, keys: Keys): TransitKey {
    const known = keys.get(key)
    if (known instanceof BridgeError) throw known
    return requireKey(known?.key, key, this.#options.mount)
  }
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

function needsKey(object: ClassObject): boolean {
  return !isCiphertext(object)
}

function asError(thrown: unknown): BridgeError {
  return BridgeError.from(thrown)
}
