import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, request as ask, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { KubeApiServer } from '../cluster/kube-api-server.ts'
import { CertificateAuthority } from '../host/pki.ts'

/** A proxy in front of a real API server that hides some of its metrics, as if its version did not have them. */
export class MetricsProxy {
  readonly address: string
  /** The certificate authority of its serving certificate. */
  readonly caFile: string
  readonly #server: Server

  static async start(api: KubeApiServer, hidden: readonly string[]): Promise<MetricsProxy> {
    const authority = await CertificateAuthority.create('metrics proxy CA')
    const { certFile, keyFile } = await authority.server('kube-apiserver')
    const ca = readFileSync(api.caFile)
    const server = createServer(
      { cert: readFileSync(certFile), key: readFileSync(keyFile) },
      (request, response) => {
        const { method, headers, url = '/' } = request
        const upstream = ask(`${api.address}${url}`, { method, headers, ca, agent: false })
        upstream.on('error', () => response.destroy())
        upstream.on('response', (answer) => {
          if (url !== '/metrics') {
            response.writeHead(answer.statusCode ?? 502, answer.headers)
            pipeline(answer, response, () => undefined)
            return
          }
          void text(answer).then((body) => {
            const { date, 'content-type': type } = answer.headers
            response.writeHead(answer.statusCode ?? 502, { date, 'content-type': type })
            response.end(withoutMetrics(body, hidden))
          })
        })
        pipeline(request, upstream, () => undefined)
      },
    )
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new MetricsProxy(server, authority.caFile)
  }

  private constructor(server: Server, caFile: string) {
    this.#server = server
    this.caFile = caFile
    this.address = `https://127.0.0.1:${String((server.address() as AddressInfo).port)}`
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#server.closeAllConnections()
    await closed
  }
}

function withoutMetrics(body: string, hidden: readonly string[]): string {
  return body
    .split('\n')
    .filter((line) => !hidden.some((name) => line.startsWith(name)))
    .join('\n')
}
