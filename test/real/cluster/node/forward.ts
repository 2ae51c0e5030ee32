// usage: forward.ts FROM TO    each tcp:HOST:PORT or unix:FILE; what comes to the first goes to the second
import { rmSync } from 'node:fs'
import { connect, createServer, type NetConnectOpts } from 'node:net'

function place(text = ''): NetConnectOpts {
  const [kind, first = '', port] = text.split(':')
  return kind === 'unix' ? { path: first } : { host: first, port: Number(port) }
}

const [from, to] = [place(process.argv[2]), place(process.argv[3])]
if ('path' in from && from.path !== undefined) rmSync(from.path, { force: true })
createServer((inner) => {
  const outer = connect(to)
  inner.on('error', () => outer.destroy()).on('close', () => outer.destroy())
  outer.on('error', () => inner.destroy()).on('close', () => inner.destroy())
  inner.pipe(outer).pipe(inner)
}).listen(from)
