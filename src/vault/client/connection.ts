import { Client, type Dispatcher, type buildConnector } from 'undici'

/** A handler that is notified of the connection that carries its exchange. */
interface Carried extends Dispatcher.DispatchHandler {
  carriedBy?: (connection: Connection) => void
}

export interface ConnectionOptions extends Client.Options {
  readonly connect: buildConnector.connector
}

/** One connection of a pool, opened again when the next request needs it. */
export class Connection extends Client {
  #close: (() => void) | undefined

  constructor(origin: URL, options: ConnectionOptions) {
    super(origin, {
      ...options,
      connect: (target, callback) =>
        options.connect(target, (...result) => {
          const [error, socket] = result
          this.#close = error === null ? () => socket.destroy() : undefined
          callback(...result)
        }),
    })
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Carried): boolean {
    handler.carriedBy?.(this)
    return super.dispatch(options, handler)
  }

  /**
   * Closes the connection unless another request uses it. Behind a load balancer the next one may reach another node,
   * while this one leads to the same node for as long as it is kept alive.
   */
  leave(): void {
    if (this.stats.running === 0) this.#close?.()
  }
}
