import type { CallContext } from '../../call-context.ts'
import type { Clock } from '../../time/clock.ts'
import { BridgeError } from '../../errors.ts'
import type { TransitKey } from '../../transit/key.ts'
import type { ContentMemory, RememberedContent } from './content-memory.ts'
import type { ContentFile } from './content.ts'
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
  /** Whether decrypted content came from memory. */
  readonly remembered: boolean
}

type Contents = ReadonlyMap<number, ObjectContent>
type Keys = ReadonlyMap<string, KnownKey | BridgeError>

/** Gathers the content of volumes: from key metadata, from memory, and what is then missing from Vault. */
export class VolumeContent {
  readonly #options: VolumeContentOptions

  constructor(options: VolumeContentOptions) {
    this.#options = options
  }

  /** An object's own fault is its content; only a fault of the whole identity is thrown. */
  async gather(volume: Volume, context: CallContext): Promise<Gathered> {
    const { contents, clock } = this.#options
    const startedAt = clock.monotonic()
    const remembered = contents.find(volume.id)
    // Values do not wait for keys: their ciphertexts say all that is needed.
    const decrypting = remembered === undefined ? this.#decrypt(volume, context) : undefined
    const [keys, decrypted] = await Promise.all([this.#readKeys(volume, context), decrypting])
    const isCurrent = remembered !== undefined && this.#holdsExports(remembered, volume, keys)
    const values = isCurrent
      ? remembered.files
      : await this.#fetchRest(volume, keys, remembered, decrypted, context)
    const fetchedAt = isCurrent ? remembered.fetchedAt : startedAt
    if (!isCurrent) this.#remember(volume, values, fetchedAt)
    return {
      contents: new Map([...this.#makePublic(volume, keys), ...values]),
      confirmedAt: Math.min(
        ...(values.size === 0 ? [] : [fetchedAt]),
        ...readTimes(keys),
        startedAt,
      ),
      remembered: isCurrent,
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

  /** What memory did not have: all exported keys, and the values if these were not decrypted already. */
  async #fetchRest(
    volume: Volume,
    keys: Keys,
    outdated: RememberedContent | undefined,
    decrypted: Contents | undefined,
    context: CallContext,
  ): Promise<Contents> {
    for (const files of outdated?.files.values() ?? []) wipe(files)
    const [values, exported] = await Promise.all([
      decrypted ?? this.#decrypt(volume, context),
      this.#export(volume, keys, context),
    ])
    return new Map([...values, ...exported])
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
      // A volume that lacks something is asked for anew, whole.
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

function wipe(files: readonly ContentFile[]): void {
  for (const { contents } of files) contents.fill(0)
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
