import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

/** A timer of Node.js may be late by a bit more than a millisecond; the thread sleeps for what is left. */
const TIMER_ERROR_MS = 2

/**
 * A network on the way to a server, which delivers each packet of an answer a fixed time after it was sent. Timers of Node.js are
 * accurate to about a millisecond, which is too coarse here, and netem is not in every kernel. So this is a proxy in a thread of its
 * own, which sleeps for the last milliseconds. An echo through 5 ms takes 5.7 ms (median, on a busy machine); while the thread
 * sleeps, the packets of other connections wait.
 */
export class SlowNetwork {
  /** What clients use instead of the server's address. */
  readonly address: string
  readonly #worker: Worker

  static async start(target: string, delayMs: number): Promise<SlowNetwork> {
    const worker = new Worker(new URL(import.meta.url), { workerData: { target, delayMs } })
    const [port] = (await once(worker, 'message')) as [number]
    return new SlowNetwork(`${new URL(target).protocol}//127.0.0.1:${String(port)}`, worker)
  }

  private constructor(address: string, worker: Worker) {
    this.address = address
    this.#worker = worker
  }

  async stop(): Promise<void> {
    await this.#worker.terminate()
  }
}

if (!isMainThread) await serve(workerData as { target: string; delayMs: number })

async function serve({ target, delayMs }: { target: string; delayMs: number }): Promise<void> {
  const { hostname: host, port } = new URL(target)
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ host, port: Number(port), noDelay: true })
    client.on('data', (chunk: Buffer) => upstream.write(chunk))
    upstream.on('data', (chunk: Buffer) => delay(client, chunk, performance.now() + delayMs))
    const end = () => {
      client.destroy()
      upstream.destroy()
    }
    for (const socket of [client, upstream]) socket.on('error', end).on('close', end)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a port of a thread has no origin
  parentPort?.postMessage((server.address() as AddressInfo).port)

  const sleeper = new Int32Array(new SharedArrayBuffer(4))
  function delay(client: Socket, chunk: Buffer, due: number): void {
    setTimeout(() => {
      const left = due - performance.now()
      if (left > 0) Atomics.wait(sleeper, 0, 0, left)
      client.write(chunk)
    }, delayMs - TIMER_ERROR_MS)
  }
}
