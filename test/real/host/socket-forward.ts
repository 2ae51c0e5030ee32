import { connect, createServer, type Server } from 'node:net'

/** Forwards the connections of a Unix socket to a port of this host. */
export async function forwardSocket(path: string, port: number): Promise<Server> {
  const server = createServer((inner) => {
    const outer = connect({ host: '127.0.0.1', port })
    inner.on('error', () => outer.destroy()).on('close', () => outer.destroy())
    outer.on('error', () => inner.destroy()).on('close', () => inner.destroy())
    inner.pipe(outer).pipe(inner)
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return server
}
