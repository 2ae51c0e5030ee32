import type { Transit } from '../../transit/transit.ts'
import { identifyPlace, placeOf, type EnginePlace, type WantedPlace } from '../engine-place.ts'
import type { PodSession } from './pod-session.ts'

/** A Transit engine that a volume uses, with the session of its pod in the Vault namespace of the engine. */
export interface VolumeEngine {
  /** Identifies the place in the keys of caches. */
  readonly id: string
  readonly place: EnginePlace
  readonly session: PodSession
  readonly transit: Transit
}

/** The engines of a volume, usually one. Objects that name no place use `home`. */
export class VolumeEngines {
  readonly #home: EnginePlace
  readonly #engines = new Map<string, VolumeEngine>()
  readonly #sessions = new Map<string, PodSession>()

  /** @param open returns the pod's session in a Vault namespace */
  constructor(
    objects: readonly WantedPlace[],
    home: EnginePlace,
    open: (vaultNamespace: string) => PodSession,
  ) {
    this.#home = home
    for (const object of objects) {
      const place = placeOf(object, home)
      const id = identifyPlace(place)
      if (this.#engines.has(id)) continue
      const { vaultNamespace, mount } = place
      const session = this.#sessions.get(vaultNamespace) ?? open(vaultNamespace)
      this.#sessions.set(vaultNamespace, session)
      this.#engines.set(id, { id, place, session, transit: session.engine(mount) })
    }
  }

  /** Returns the engine of one of the objects of the volume. */
  of(object: WantedPlace): VolumeEngine {
    const place = placeOf(object, this.#home)
    const engine = this.#engines.get(identifyPlace(place))
    if (engine === undefined) throw new RangeError('not an object of this volume')
    return engine
  }

  get sessionIds(): readonly string[] {
    return [...this.#sessions.values()].map(({ id }) => id)
  }

  /** Runs work that uses the sessions; see PodSession.use. */
  use<T>(work: () => Promise<T>): Promise<T> {
    const nested = [...this.#sessions.values()].reduce<() => Promise<T>>(
      (inner, session) => () => session.use(inner),
      work,
    )
    return nested()
  }
}
