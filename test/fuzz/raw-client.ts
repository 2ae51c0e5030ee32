import { connect, type NetConnectOpts } from 'node:net'
import { setImmediate, setTimeout as sleep } from 'node:timers/promises'

/** A server that waits for more bytes says nothing, so the answer is whatever arrives within this time. */
const LISTEN_MS = 20

/** Sends packets on a connection of its own, closes it, and returns what the server sent. */
export async function sendRaw(to: NetConnectOpts, packets: readonly Buffer[]): Promise<Buffer> {
  const socket = connect({ ...to, allowHalfOpen: true })
  const chunks: Buffer[] = []
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  socket.on('error', () => undefined)
  socket.on('data', (chunk: Buffer) => void chunks.push(chunk))
  socket.on('end', () => void socket.end())
  for (const packet of packets) {
    if (socket.destroyed) break
    socket.write(packet)
    await setImmediate()
  }
  await Promise.race([closed, sleep(LISTEN_MS)])
  socket.end()
  await Promise.race([closed, sleep(LISTEN_MS)])
  socket.destroy()
  return Buffer.concat(chunks)
}
