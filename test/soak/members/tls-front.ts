import { once } from 'node:events'
import { copyFileSync, readFileSync } from 'node:fs'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { createServer, type Server, type TLSSocket } from 'node:tls'
import { Certificates, SERVER_NAME, type Certificate } from '../../faults/surroundings.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'

/** Ends TLS in front of a server that has none, as a load balancer does, with certificates that can change. */
export class TlsFront {
  readonly port: number
  /** Which authorities the program trusts; a file that changes. */
  readonly caFile = join(tempFolder('authorities'), 'ca.pem')
  readonly #server: Server
  readonly #certificates: Certificates
  readonly #sockets = new Set<Socket | TLSSocket>()
  #trusted: Certificate & ('valid' | 'foreign') = 'valid'

  static async start(targetPort: number): Promise<TlsFront> {
    const certificates = await Certificates.create()
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    return new TlsFront(server, certificates, targetPort)
  }

  private constructor(server: Server, certificates: Certificates, targetPort: number) {
    this.#server = server
    this.#certificates = certificates
    this.port = (server.address() as AddressInfo).port
    copyFileSync(certificates.files.caFile, this.caFile)
    this.present('valid')
    server.on('tlsClientError', () => undefined)
    server.on('connection', (socket: Socket) => this.#watch(socket))
    server.on('secureConnection', (client) => {
      const upstream = connect(targetPort, '127.0.0.1')
      this.#watch(client)
      this.#watch(upstream)
      client.pipe(upstream).pipe(client)
      client.once('close', () => upstream.destroy())
      upstream.once('close', () => client.destroy())
    })
  }

  /** The section `vault` of a program. */
  get vaultSection(): Record<string, unknown> {
    const address = `https://127.0.0.1:${String(this.port)}`
    return { address, caFile: this.caFile, serverName: SERVER_NAME }
  }

  /** New connections get this certificate, and there are no others. */
  present(certificate: Certificate): void {
    this.#certificates.choose(certificate)
    const { certFile, keyFile } = this.#certificates.files
    this.#server.setSecureContext({ cert: readFileSync(certFile), key: readFileSync(keyFile) })
    for (const socket of this.#sockets) socket.destroy()
  }

  /** The certificate that the program trusts. */
  presentTrusted(): void {
    this.present(this.#trusted)
  }

  /** A certificate of the other authority, which is from now on the only one in the file. */
  changeAuthority(): void {
    this.#trusted = this.#trusted === 'valid' ? 'foreign' : 'valid'
    const { files, foreignCaFile } = this.#certificates
    copyFileSync(this.#trusted === 'valid' ? files.caFile : foreignCaFile, this.caFile)
    this.presentTrusted()
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #watch(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on('error', () => undefined)
    socket.once('close', () => this.#sockets.delete(socket))
  }
}
