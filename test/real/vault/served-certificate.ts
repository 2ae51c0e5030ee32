import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { connect } from 'node:tls'

import { eventually } from '../host/eventually.ts'
import type { OpenBao } from './openbao.ts'

/** Makes Vault read its certificate file again; new connections get this certificate when it resolves. */
export async function reloadCertificate(bao: OpenBao, certFile: string): Promise<void> {
  const wanted = new X509Certificate(readFileSync(certFile)).fingerprint256
  bao.reload()
  await eventually('the new certificate', async () => (await readServed(bao.port)) === wanted)
}

/** The fingerprint of the certificate that a server presents. */
function readServed(port: number): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false }, () => {
    resolve(socket.getPeerCertificate().fingerprint256)
    socket.destroy()
  })
  socket.on('error', reject)
  return promise
}
