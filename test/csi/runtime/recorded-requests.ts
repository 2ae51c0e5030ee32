import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { tempFolder } from '../../real/host/temp-folder.ts'

/** The head of a request as a client wrote it. */
export type RecordedRequest = {
  readonly line: string
  /** By name in lower case. */
  readonly headers: Readonly<Record<string, string>>
}

export type Recorder = {
  /** Clients use it instead of the recorded socket. */
  readonly path: string
  /** What was sent since the last call. */
  take(): readonly RecordedRequest[]
  stop(): void
}

/**
 * A unix socket before another one that records the heads of requests. It passes bytes on unchanged: an HTTP proxy would
 * normalize what the test wants to see, and Node.js's parser refuses LIST.
 */
export async function recordRequests(socket: string): Promise<Recorder> {
  const path = join(tempFolder('rec'), 'vault.sock')
  const sent: Buffer[][] = []
  const server = createServer((client) => {
    const chunks: Buffer[] = []
    sent.push(chunks)
    const volume = connect(socket)
    client.on('data', (chunk: Buffer) => chunks.push(chunk))
    client.on('error', () => volume.destroy()).on('close', () => volume.destroy())
    volume.on('error', () => client.destroy()).on('close', () => client.destroy())
    client.pipe(volume).pipe(client)
  })
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return {
    path,
    take: () => {
      const requests = sent.flatMap((chunks) => readHeads(Buffer.concat(chunks).toString('latin1')))
      for (const chunks of sent) chunks.length = 0
      return requests
    },
    stop: () => server.close(),
  }
}

/** Reads the heads of requests with a Content-Length or without a body, which is what clients of Vault send. */
function readHeads(text: string): RecordedRequest[] {
  const requests: RecordedRequest[] = []
  let rest = text
  for (let end = rest.indexOf('\r\n\r\n'); end >= 0; end = rest.indexOf('\r\n\r\n')) {
    const [line = '', ...lines] = rest.slice(0, end).split('\r\n')
    const headers = Object.fromEntries(
      lines.map((header) => {
        const colon = header.indexOf(':')
        return [header.slice(0, colon).toLowerCase(), header.slice(colon + 1).trim()]
      }),
    )
    requests.push({ line: line.replace(/ HTTP\/1\.1$/, ''), headers })
    rest = rest.slice(end + 4 + Number(headers['content-length'] ?? 0))
  }
  return requests
}
