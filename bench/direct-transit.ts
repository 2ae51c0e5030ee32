import { Pool } from 'undici'
import type { OpenBao } from '../test/real/openbao.ts'

/** Transit called by undici and nothing else: the base that the plugin is measured against. */
export class DirectTransit {
  readonly #pool: Pool
  readonly #headers: Record<string, string>

  constructor(bao: OpenBao, connections: number) {
    this.#pool = new Pool(bao.address, { connections })
    this.#headers = { 'x-vault-token': bao.rootToken, 'content-type': 'application/json' }
  }

  async encrypt(key: string, plaintext: Buffer, associatedData: Buffer): Promise<string> {
    const body = {
      plaintext: plaintext.toString('base64'),
      associated_data: associatedData.toString('base64'),
    }
    const answer = await this.#post(`/v1/transit/encrypt/${key}`, JSON.stringify(body))
    return (answer as { data: { ciphertext: string } }).data.ciphertext
  }

  /** One decrypt request, with its answer parsed as any client must. */
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
