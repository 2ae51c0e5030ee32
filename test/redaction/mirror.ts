import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer as createPlain, type RequestListener } from 'node:http'
import { createServer as createSecure } from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { CertificateAuthority } from '../real/host/pki.ts'

/** A server that refuses everything and repeats what it was sent, as a careless one does. */
export type Mirror = {
  readonly address: string
  readonly caFile: string
  readonly close: () => void
}

/** In the form of Vault. */
export function startVaultMirror(): Promise<Mirror> {
  return start((sent) => ({ errors: [sent] }), false)
}

/** In the form of the Kubernetes API. */
export function startKubeMirror(): Promise<Mirror> {
  return start(
    (message) => ({ kind: 'Status', apiVersion: 'v1', status: 'Failure', message, code: 403 }),
    true,
  )
}

async function start(answer: (sent: string) => object, isSecure: boolean): Promise<Mirror> {
  const authority = await CertificateAuthority.create()
  const onRequest: RequestListener = (request, response) => {
    void text(request).then((body) => {
      const sent = `${request.rawHeaders.join(' ')} ${body}`
      response.writeHead(403, { 'content-type': 'application/json' })
      response.end(JSON.stringify(answer(sent)))
    })
  }
  const { certFile, keyFile } = await authority.server('mirror')
  const server = isSecure
    ? createSecure({ cert: readFileSync(certFile), key: readFileSync(keyFile) }, onRequest)
    : createPlain(onRequest)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const address = `${isSecure ? 'https' : 'http'}://127.0.0.1:${String(port)}`
  const close = () => {
    server.closeAllConnections()
    server.close()
  }
  return { address, caFile: authority.caFile, close }
}
