// Claims the socket of the first argument, whose folder Node.js denies to this process. Prints what was thrown.
import { serveSocket } from '../../src/grpc/unix-socket.ts'

const [, , path = ''] = process.argv
process.permission?.drop('fs.read', '/')
process.permission?.drop('fs.write', '/')
const bind = async () => () => undefined
try {
  await serveSocket(path, { mode: 0o600, anyLength: true }, bind)
} catch (error) {
  process.stdout.write(String(error))
}
