import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import fs, { chmod, link, rename, unlink } from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { createServer, type Server } from 'node:net'
import { dirname, join } from 'node:path'
import { test } from 'tap'
import { isServed, serveSocket, type SocketAccess } from '../../src/grpc/unix-socket.ts'
import { startGrpcServer } from '../../src/grpc/server.ts'
import { systemClock } from '../../src/time/clock.ts'
import { memoryLog } from '../fakes/log.ts'
import { KmsClient } from '../real/program/kms-client.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { grpcFixture } from './fixture.ts'

const clock = systemClock
const { log } = memoryLog()
const access: SocketAccess = { mode: 0o600 }
const newPath = () => join(tempFolder('socket'), 'kms.sock')

/** A plain server for what a socket is, without gRPC. */
function plainServer() {
  const server = createServer((connection) => void connection.end())
  const bind = async (path: string) => {
    server.listen(path)
    await once(server, 'listening')
    return () => void server.close()
  }
  return { server, bind, close: () => closed(server) }
}

async function closed(server: Server): Promise<void> {
  server.close()
  await once(server, 'close')
}

/** Leaves a socket behind that no process serves, as a power cut does. */
async function leaveDeadSocket(path: string): Promise<void> {
  const { bind, close } = plainServer()
  await bind(`${path}.1`)
  await link(`${path}.1`, path)
  await close()
}

const mode = (path: string) => (statSync(path).mode & 0o7777).toString(8)

for (const wanted of [0o600, 0o660, 0o666]) {
  void test(`the socket has mode ${wanted.toString(8)} when it appears, regardless of the umask`, async (t) => {
    const path = newPath()
    const { bind, close } = plainServer()
    const seen: string[] = []
    await serveSocket(path, { mode: wanted }, async (bound) => {
      const end = await bind(bound)
      seen.push(mode(dirname(bound)))
      t.equal(dirname(dirname(bound)), dirname(path), 'on the same file system')
      t.equal(lstatSync(path, { throwIfNoEntry: false }), undefined, 'it is not there yet')
      return end
    })
    t.same(seen, ['700'], 'made where no other user can enter')
    t.equal(mode(path), wanted.toString(8))
    t.same(readdirSync(dirname(path)), ['kms.sock'], 'nothing else is left in the folder')
    await close()
  })
}

void test('the group is accepted by number or by name', async (t) => {
  for (const [group, gid] of [
    [process.getgid?.() ?? 0, process.getgid?.() ?? 0],
    ['root', 0],
  ] as const) {
    if (gid === 0 && process.getuid?.() !== 0) continue
    const path = newPath()
    const { bind, close } = plainServer()
    await serveSocket(path, { mode: 0o660, group }, bind)
    t.equal(statSync(path).gid, gid)
    await close()
  }
})

void test('a group that does not exist is reported by name, and nothing is left behind', async (t) => {
  const path = newPath()
  const { bind, close } = plainServer()
  await t.rejects(serveSocket(path, { mode: 0o660, group: 'no-such-group' }, bind), {
    code: 'SOCKET_FAILED',
    message: /kms\.socketGroup: this host has no group no-such-group/,
  })
  t.same(readdirSync(dirname(path)), [])
  await close()
})

void test('a missing folder is created, inaccessible to others', async (t) => {
  const path = join(tempFolder('socket'), 'a', 'b', 'kms.sock')
  const { bind, close } = plainServer()
  await serveSocket(path, access, bind)
  t.equal(mode(dirname(path)), '750')
  await close()
})

void test('a dead socket is replaced', async (t) => {
  const path = newPath()
  await leaveDeadSocket(path)
  t.ok(lstatSync(path).isSocket())
  const { bind, close } = plainServer()
  await serveSocket(path, access, bind)
  const { server } = await import('node:net').then(({ connect }) => ({ server: connect(path) }))
  await once(server, 'connect')
  server.destroy()
  t.same(readdirSync(dirname(path)), ['kms.sock'])
  await close()
})

void test('a live socket is SOCKET_IN_USE and continues to serve', async (t) => {
  const { socket, client, stop } = await grpcFixture()
  const before = lstatSync(socket)
  let bound = false
  await t.rejects(
    serveSocket(socket, access, async () => {
      bound = true
      return () => undefined
    }),
    { code: 'SOCKET_IN_USE', message: /another process serves .*kms\.sock/ },
  )
  t.equal(bound, false)
  t.equal(lstatSync(socket).ino, before.ino)
  t.match(await client.status(), { healthz: 'ok' })
  await stop()
})

const BLOCKERS: readonly (readonly [string, (path: string) => void])[] = [
  ['a file', (path) => writeFileSync(path, 'precious')],
  ['a folder', (path) => mkdirSync(path)],
  ['a symbolic link to nowhere', (path) => symlinkSync('/nowhere', path)],
  ['a symbolic link to a socket', (path) => symlinkSync(`${path}.other`, path)],
]

for (const [what, make] of BLOCKERS) {
  void test(`${what} in its place is SOCKET_BLOCKED and left alone`, async (t) => {
    const path = newPath()
    make(path)
    const before = lstatSync(path)
    const { bind } = plainServer()
    await t.rejects(serveSocket(path, access, bind), { code: 'SOCKET_BLOCKED' })
    t.same([lstatSync(path).ino, lstatSync(path).mtimeMs], [before.ino, before.mtimeMs])
    t.equal(readdirSync(dirname(path)).length, 1)
  })
}

void test('a path that is too long for a socket is reported as such', async (t) => {
  const folder = tempFolder('socket')
  const { bind, close } = plainServer()
  const fits = join(folder, 'x'.repeat(106 - folder.length))
  t.equal(fits.length, 107)
  await serveSocket(fits, access, bind)
  t.ok(lstatSync(fits).isSocket())
  await close()
  const deep = join(folder, 'x'.repeat(90 - folder.length), 'kms')
  for (const path of [`${fits}x`, deep]) {
    await t.rejects(serveSocket(path, access, bind), {
      code: 'SOCKET_BLOCKED',
      message: /at most 107 bytes, and its folder at most 90; configure a shorter path/,
    })
  }
})

void test('a folder that cannot be created is reported with what to check', async (t) => {
  const folder = tempFolder('socket')
  writeFileSync(join(folder, 'file'), '')
  const { bind } = plainServer()
  const message =
    /cannot create the folder of .*\((?:EEXIST|ENOTDIR)\); check that this user is allowed to/
  const path = join(folder, 'file', 'kms.sock')
  await t.rejects(serveSocket(path, access, bind), { code: 'SOCKET_FAILED', message })
})

void test('a folder that is not writable is reported as such', async (t) => {
  const path = newPath()
  await chmod(dirname(path), 0o555)
  const { bind } = plainServer()
  // Root may write anywhere, so it becomes another user for a moment.
  const isRoot = process.geteuid?.() === 0
  if (isRoot) process.seteuid?.(65_534)
  try {
    const message = /cannot create .*kms\.sock \(EACCES\); check that this user is allowed to/
    await t.rejects(serveSocket(path, access, bind), { code: 'SOCKET_FAILED', message })
  } finally {
    if (isRoot) process.seteuid?.(0)
  }
})

void test('what the system says of a socket with a path of any length is reported with the path', async (t) => {
  const lacking = join(tempFolder('socket'), 'none/kms.sock')
  await t.rejects(isServed(lacking), {
    code: 'SOCKET_FAILED',
    message: `cannot check ${lacking} (ENOENT); check that this user is allowed to`,
  })
  const path = newPath()
  const bind = async () => {
    throw Object.assign(new Error('listen EMFILE'), { code: 'EMFILE' })
  }
  await t.rejects(serveSocket(path, { ...access, anyLength: true }, bind), {
    code: 'SOCKET_FAILED',
    message: `cannot create ${path} (EMFILE); check that this user is allowed to`,
  })
})

void test('a socket whose path is too long to check while its folder is denied says what to change', async (t) => {
  const folder = tempFolder('d'.repeat(100))
  const path = join(folder, 'local-keys.sock')
  const key = join(folder, 'key')
  writeFileSync(key, '')
  await leaveDeadSocket(join(dirname(folder), 'dead'))
  renameSync(join(dirname(folder), 'dead'), path)
  const root = join(import.meta.dirname, '../..')
  // The path of the key begins with that of the folder.
  const rights = [`read=${root}/*`, `read=${key}`, `read=${folder}/*`, `write=${folder}/*`]
  const options = [...rights, 'read=/', 'write=/'].map((right) => `--allow-fs-${right}`)
  const program = join(import.meta.dirname, 'denied-folder.ts')
  // Without what tap adds to the environment and to the options of a Node.js that it sees.
  const args = ['-i', process.execPath, '--permission', '--no-warnings', ...options, program, path]
  const said = execFileSync('env', args, { encoding: 'utf8' })
  t.match(said, `cannot check ${path}: Node.js denies its folder, because the path of another`)
  t.match(said, /a socket path has at most 107 bytes; move that file, or configure a shorter path$/)
})

for (const dead of [false, true]) {
  void test(`of ten that start at once ${dead ? 'over a dead socket ' : ''}one serves, the others say so`, async (t) => {
    const path = newPath()
    if (dead) await leaveDeadSocket(path)
    const servers = Array.from({ length: 10 }, () => plainServer())
    const results = await Promise.allSettled(
      servers.map(({ bind }) => serveSocket(path, access, bind)),
    )
    const won = results.flatMap((result, index) => (result.status === 'fulfilled' ? [index] : []))
    t.equal(won.length, 1)
    for (const result of results) {
      if (result.status === 'rejected') t.match(result.reason, { code: 'SOCKET_IN_USE' })
    }
    t.same(readdirSync(dirname(path)), ['kms.sock'])
    await Promise.all(
      servers.map(async ({ close, server }) => (server.listening ? close() : undefined)),
    )
  })
}

/** Lets others work just before and just after the next move of `path`. */
function aroundMove(
  path: string,
  before: () => Promise<unknown>,
  after: () => Promise<unknown>,
): void {
  const move = fs.rename
  fs.rename = async (from, to) => {
    if (from !== path) return move(from, to)
    fs.rename = move
    syncBuiltinESMExports()
    await before()
    await move(from, to)
    await after()
  }
  syncBuiltinESMExports()
}

const LOST =
  /another process serves .*kms\.sock; .*; a third process, .*, lost its socket there: restart it$/

/** What came after the check of a dead socket, and what took the path while that was moved away. */
const RACES: readonly (readonly [string, 'live' | 'dead', RegExp])[] = [
  ['live socket is moved away, and a third process takes its place', 'live', LOST],
  ['dead socket of another process is moved away', 'dead', /another process serves [^;]*; [^;]*$/],
]

for (const [what, second, message] of RACES) {
  void test(`of several that start at once over a dead socket, the one that loses says so: a ${what}`, async (t) => {
    const path = newPath()
    await leaveDeadSocket(path)
    const [loser, early, late] = [plainServer(), plainServer(), plainServer()]
    const served: Awaited<ReturnType<typeof serveSocket>>[] = []
    const start = async ({ bind }: typeof early) => {
      served.push(await serveSocket(path, access, bind))
    }
    const before = async () => {
      await unlink(path)
      await start(early)
      if (second === 'dead') await early.close()
    }
    aroundMove(path, before, () => start(late))
    const rejected = { code: 'SOCKET_IN_USE', message }
    await t.rejects(serveSocket(path, access, loser.bind), rejected)
    t.same(await Promise.all(served.map((each) => each.isInPlace())), [false, true])
    t.same(readdirSync(dirname(path)), ['kms.sock'])
    for (const { server, close } of [loser, early, late]) if (server.listening) await close()
  })
}

void test('a live socket that was moved away is put back, and its server keeps it', async (t) => {
  const path = newPath()
  await leaveDeadSocket(path)
  const [loser, winner] = [plainServer(), plainServer()]
  const served: Awaited<ReturnType<typeof serveSocket>>[] = []
  const before = async () => {
    await unlink(path)
    served.push(await serveSocket(path, access, winner.bind))
  }
  aroundMove(path, before, () => Promise.resolve())
  await t.rejects(serveSocket(path, access, loser.bind), { code: 'SOCKET_IN_USE' })
  t.equal(await served[0]?.isInPlace(), true)
  for (const { server, close } of [loser, winner]) if (server.listening) await close()
})

void test('a stopped server leaves no socket, and its successor may come at once', async (t) => {
  const first = await grpcFixture()
  const { socket, service } = first
  const stopping = first.server.stop(1_000)
  await stopping
  t.equal(lstatSync(socket, { throwIfNoEntry: false }), undefined)
  const second = await startGrpcServer({ socket, access, services: [service], clock, log })
  const client = new KmsClient(socket)
  t.match(await client.status(), { healthz: 'ok' })
  client.close()
  first.client.close()
  await second.stop(100)
})

void test("an old server's stop does not remove its successor's socket", async (t) => {
  const first = await grpcFixture()
  const { socket, service } = first
  // The path is cleaned up by hand, and a second one starts while the first still runs.
  await unlink(socket)
  const second = await startGrpcServer({ socket, access, services: [service], clock, log })
  await first.stop()
  const client = new KmsClient(socket)
  t.match(await client.status(), { healthz: 'ok' })
  client.close()
  await second.stop(100)
  t.equal(lstatSync(socket, { throwIfNoEntry: false }), undefined)
})

void test('a stop leaves another file at the path alone', async (t) => {
  const { socket, stop } = await grpcFixture()
  await rename(socket, `${socket}.moved`)
  writeFileSync(socket, 'precious')
  await stop()
  t.ok(lstatSync(socket).isFile())
})

void test('a client that is silent does not hold up a stop for longer than its grace', async (t) => {
  const { socket, server, client } = await grpcFixture()
  await client.status()
  const startedAt = performance.now()
  await server.stop(50)
  t.ok(performance.now() - startedAt < 2_000)
  t.equal(lstatSync(socket, { throwIfNoEntry: false }), undefined)
  client.close()
})
