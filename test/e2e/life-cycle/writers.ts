import type { KubeApiServer } from '../../real/cluster/kube-api-server.ts'

/** Secrets that change all the time, and what each must contain. */
export class Writers {
  readonly expected = new Map<string, string>()
  readonly #apis: KubeApiServer[]
  #stopped = false
  #running: Promise<void[]> | undefined
  writes = 0

  /** @param apis those that the writes go through, in turn */
  constructor(apis: KubeApiServer[]) {
    this.#apis = apis
  }

  /** Starts to change the Secrets in `names`, and to create and delete others. Each name has one writer. */
  start(names: string[], writers = 4): void {
    const shares = Array.from({ length: writers }, (_none, writer) =>
      names.filter((_name, index) => index % writers === writer),
    )
    this.#running = Promise.all(shares.map((share, writer) => this.#write(share, writer)))
  }

  /** Ends after the write under way; throws what a write threw. */
  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  async #write(names: string[], writer: number): Promise<void> {
    for (let round = 0; !this.#stopped; round += 1) {
      const api = this.#apis[round % this.#apis.length]
      const name = names[round % names.length]
      if (api === undefined || name === undefined) return
      const value = `${name} round ${String(round)}`
      await api.patchSecret('default', name, { stringData: { value } })
      this.expected.set(name, value)
      const passing = `passing-${String(writer)}-${String(round)}`
      await api.createSecret('default', passing, { value: passing })
      if (round % 2 === 0) await api.deleteSecret('default', passing)
      else this.expected.set(passing, passing)
      this.writes += 1
    }
  }
}

/** Every Secret of the namespace default with its value, read through an API server. */
export async function readAll(api: KubeApiServer): Promise<Map<string, string>> {
  const { items } = await api.api('GET', '/api/v1/namespaces/default/secrets')
  const list = items as { metadata: { name: string }; data?: { value?: string } }[]
  return new Map(
    list.map(({ metadata, data }) => [
      metadata.name,
      Buffer.from(data?.value ?? '', 'base64').toString('utf8'),
    ]),
  )
}
