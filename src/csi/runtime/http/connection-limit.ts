import type { Duplex } from 'node:stream'

const MAX_PER_VOLUME = 64
/** Of all volumes together; an open connection takes about 20 KiB. */
const MAX_IN_ALL = 1_024

/** The open connections of one volume, the oldest first. */
export type VolumeConnections = Set<Duplex>

/**
 * Limits the connections. At its own limit, a volume loses its oldest one; at the limit of all volumes, the volume with the most
 * connections does. Another volume can therefore always connect.
 */
export class ConnectionLimit {
  readonly #volumes = new Set<VolumeConnections>()
  #size = 0

  /** Adds a connection to those of its volume, until it closes. */
  add(connection: Duplex, own: VolumeConnections): void {
    if (own.size >= MAX_PER_VOLUME) this.#closeOldest(own)
    else if (this.#size >= MAX_IN_ALL) this.#closeOldest(this.#largest())
    this.#volumes.add(own)
    own.add(connection)
    this.#size += 1
    connection.once('close', () => this.#remove(connection, own))
  }

  /** The connection no longer counts at once: many arrive before the next `close` event. */
  #closeOldest(connections: VolumeConnections): void {
    const [oldest] = connections
    if (oldest === undefined) return
    this.#remove(oldest, connections)
    oldest.destroy()
  }

  #remove(connection: Duplex, own: VolumeConnections): void {
    if (!own.delete(connection)) return
    this.#size -= 1
    if (own.size === 0) this.#volumes.delete(own)
  }

  #largest(): VolumeConnections {
    return [...this.#volumes].reduce((one, other) => (other.size > one.size ? other : one))
  }
}
