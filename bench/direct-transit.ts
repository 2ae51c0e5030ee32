import { Pool } from 'undici'

/** Calls Transit with undici only: the baseline for the plugin. */
export class DirectTransit {
  readonly #pool: Pool
  readonly #headers: Record<string, string>

  /**
   * @param token from the same login as the plugin's: Vault spends half of a request on checking an ordinary
   * token and its policies, and no time for root
   * @param ca the authority of Vault's certificate, in PEM
   */
  constructor(address: string, token: string, connections: number, ca?: string) {
    this.#pool = new Pool(address, {
      connections,
      ...(ca === undefined ? {} : { connect: { ca } }),
    })
    this.#headers = { 'x-vault-token': token, 'content-type': 'application/json' }
  }

  /** One decrypt request, with its response parsed, as every client has to. */
  async decrypt(key: string, ciphertext: string, associatedData: string): Promise<unknown> {
    const body = JSON.stringify({ ciphertext, associated_data: associatedData })
    return this.#post(`/v1/transit/decrypt/${key}`, body)
  }

  async close(): Promise<void> {
    await this.#pool.close()
  }

  async #post(path: string, body: string): Promise<unknown> {
    const answer = await this.#pool.request({ method: 'POST', path, headers: this.#headers, body })
    if (answer.statusCode !== 200) throw new Error(`transit answered ${String(answer.statusCode)}`)
    return answer.body.json()
  }
}
