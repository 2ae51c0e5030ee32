import { CsiClient } from '../real/program/csi-client.ts'
import type { Provider } from '../real/program/provider.ts'
import { newPod, type PodVault } from '../csi/pod-vault.ts'
import { answerOf, OK, type Answer, type HealthReport, type Subject } from './subject.ts'

export const KEY = 'app-data'
/** Longer than the limit of 20 s that a Mount has in the program. */
const DEADLINE_MS = 30_000
const VALUES = { first: 'the first value', second: 'the second value' }

/** The CSI provider, as the Secrets Store CSI driver uses it: each Mount is of a new pod and has two values to decrypt. */
export class CsiSubject implements Subject {
  readonly program: Provider
  readonly #vault: PodVault
  readonly #driver: CsiClient
  readonly #objects: readonly object[]

  static async create(program: Provider, vault: PodVault): Promise<CsiSubject> {
    const objects: object[] = []
    for (const [path, value] of Object.entries(VALUES)) {
      const ciphertext = await vault.encrypt(KEY, value)
      objects.push({ path, type: 'decrypt', key: KEY, ciphertext })
    }
    return new CsiSubject(program, vault, objects)
  }

  private constructor(program: Provider, vault: PodVault, objects: readonly object[]) {
    this.program = program
    this.#vault = vault
    this.#objects = objects
    this.#driver = new CsiClient(program.socket)
  }

  readonly connect = async (): Promise<void> => {
    await this.#driver.version({ timeout: DEADLINE_MS })
  }

  readonly call = async (): Promise<readonly Answer[]> => {
    const attributes = await this.#vault.attributes(newPod(), this.#objects)
    return [await answerOf(() => this.#mount(attributes))]
  }

  /** It stays ready during an outage, and the driver sees that by a call. */
  async health(): Promise<HealthReport> {
    const { runtimeName } = await this.#driver.version({ timeout: DEADLINE_MS })
    return { reason: 'ok', message: runtimeName }
  }

  /** The provider asks Vault for its callers alone. */
  checkedAgoMs(): Promise<number> {
    return Promise.resolve(0)
  }

  async checkAll(): Promise<void> {
    const [answer] = await this.call()
    if (answer?.code !== 'OK') throw new Error(`Mount: ${JSON.stringify(answer)}`)
  }

  stop(): Promise<number | null> {
    this.#driver.close()
    return this.program.stop()
  }

  async #mount(attributes: string): Promise<Answer> {
    const { files } = await this.#driver.mount({ attributes }, { timeout: DEADLINE_MS })
    for (const [path, value] of Object.entries(VALUES)) {
      if (String(files.get(path)?.contents) !== value)
        throw new Error(`Mount returned a wrong content of ${path}`)
    }
    return OK
  }
}
