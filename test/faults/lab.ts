import type { OpenBao, OpenBaoOptions } from '../real/vault/openbao.ts'
import type { Expected, Place, Requests, Surroundings } from './fault.ts'
import { Stage } from './stage.ts'
import type { Subject } from './subject.ts'
import { Certificates } from './surroundings.ts'

/** A real OpenBao that is ready for the programs of a lab. */
export interface LabVault {
  readonly bao: OpenBao
  /** Where a plugin reads its service-account token. */
  readonly tokenFile?: string
  readonly stop: () => Promise<void>
}

type Tls = NonNullable<OpenBaoOptions['tls']>

export interface LabOptions<V extends LabVault> {
  readonly place: Place
  /** The requests to Vault that this place is about. */
  readonly requests: Requests
  readonly startVault: (tls: Tls | undefined) => Promise<V>
  readonly start: (stage: Stage, vault: V) => Promise<Subject>
  /** Waits until the program is at the place, if the call alone does not bring it there. */
  readonly bringAbout?: (subject: Subject, cell: Expected) => Promise<void>
}

/** What the cells of one place need: an OpenBao without TLS and one with it, each started when it is needed. */
export class Lab<V extends LabVault> {
  readonly place: Place
  readonly requests: Requests
  readonly bringAbout: ((subject: Subject, cell: Expected) => Promise<void>) | undefined
  readonly #options: LabOptions<V>
  readonly #vaults = new Map<boolean, Promise<{ vault: V; certificates?: Certificates }>>()
  readonly #vaultOf = new WeakMap<Stage, V>()

  constructor(options: LabOptions<V>) {
    this.#options = options
    this.place = options.place
    this.requests = options.requests
    this.bringAbout = options.bringAbout
  }

  async open(kind: Surroundings): Promise<Stage> {
    const { vault, certificates } = await this.#vaultFor(kind === 'TLS')
    const { bao, tokenFile } = vault
    const stage = await Stage.open({ kind, bao, certificates, tokenFile })
    this.#vaultOf.set(stage, vault)
    return stage
  }

  async start(stage: Stage): Promise<Subject> {
    const vault = this.#vaultOf.get(stage)
    if (vault === undefined) throw new Error('a stage of another lab')
    const subject = await this.#options.start(stage, vault)
    stage.program = subject.program
    return subject
  }

  async close(): Promise<void> {
    for (const starting of this.#vaults.values()) await (await starting).vault.stop()
  }

  #vaultFor(isSecure: boolean) {
    const known = this.#vaults.get(isSecure)
    if (known !== undefined) return known
    const starting = this.#startVault(isSecure)
    this.#vaults.set(isSecure, starting)
    return starting
  }

  async #startVault(isSecure: boolean) {
    if (!isSecure) return { vault: await this.#options.startVault(undefined) }
    const certificates = await Certificates.create()
    return { vault: await this.#options.startVault(certificates.files), certificates }
  }
}

export type AnyLab = Pick<
  Lab<LabVault>,
  'place' | 'requests' | 'bringAbout' | 'open' | 'start' | 'close'
>
