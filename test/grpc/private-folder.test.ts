import {
  chmodSync,
  chownSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { once } from 'node:events'
import { test } from 'tap'

import { isNameBeside, makeFolderBeside } from '../../src/grpc/private-folder.ts'
import { serveSocket } from '../../src/grpc/unix-socket.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

const HOUR_AGO = new Date(Date.now() - 3_600_000)
const age = (path: string) => lutimesSync(path, HOUR_AGO, HOUR_AGO)

/** What a start that was killed left, an hour ago. */
async function leave(path: string): Promise<string> {
  const left = await makeFolderBeside(path)
  age(left)
  return left
}

async function startAt(path: string): Promise<void> {
  const server = createServer()
  await serveSocket(path, { mode: 0o600 }, async (bound) => {
    await once(server.listen(bound), 'listening')
    return () => void server.close()
  })
  server.close()
}

void test('a start removes the folders that killed starts left beside its socket', async (t) => {
  const path = join(tempFolder('left'), 'kms.sock')
  for (let count = 0; count < 3; count += 1) await leave(path)
  await startAt(path)
  t.same(readdirSync(dirname(path)), ['kms.sock'])
})

const KEPT: Readonly<Record<string, (path: string) => Promise<string>>> = {
  'a folder that another start may be using': makeFolderBeside,
  'a folder of another socket': (path) => leave(join(dirname(path), 'csi.sock')),
  'a folder with a file': async (path) => {
    const left = await makeFolderBeside(path)
    writeFileSync(join(left, 'file'), '')
    age(left)
    return left
  },
  'a folder that others can enter': async (path) => {
    const left = await leave(path)
    chmodSync(left, 0o755)
    return left
  },
  'a link to an empty folder': async (path) => {
    const target = join(dirname(path), 'target')
    mkdirSync(target, { mode: 0o700 })
    age(target)
    const left = await similar(path, (name) => symlinkSync('target', name))
    return left
  },
  'a file': (path) => similar(path, (name) => writeFileSync(name, '', { mode: 0o700 })),
  'a folder with a longer name': (path) =>
    similar(path, (name) => mkdirSync(name, { mode: 0o700 }), 'Ab3dE6x'),
  'a folder with another name': async (path) => {
    const other = join(dirname(path), '.config')
    mkdirSync(other, { mode: 0o700 })
    age(other)
    return other
  },
}

/** Something else that has the name of such a folder, or nearly. */
async function similar(
  path: string,
  make: (name: string) => void,
  random = 'Ab3dE6',
): Promise<string> {
  const example = await makeFolderBeside(join(tempFolder('name'), basename(path)))
  const name = join(dirname(path), basename(example).replace(/\w{6}$/, random))
  make(name)
  age(name)
  return name
}

for (const [what, make] of Object.entries(KEPT)) {
  void test(`a start keeps ${what}`, async (t) => {
    const path = join(tempFolder('left'), 'kms.sock')
    const kept = await make(path)
    await startAt(path)
    t.ok(readdirSync(dirname(path)).includes(basename(kept)))
  })
}

void test(
  'a start keeps a folder of another user',
  { skip: process.getuid?.() !== 0 && 'only root can make one' },
  async (t) => {
    const path = join(tempFolder('left'), 'kms.sock')
    const left = await leave(path)
    chownSync(left, 65_534, 65_534)
    await startAt(path)
    t.ok(readdirSync(dirname(path)).includes(basename(left)))
  },
)

void test('the names of the folders of a socket are known', async (t) => {
  const path = join(tempFolder('name'), 'kms.sock')
  const name = basename(await makeFolderBeside(path))
  t.ok(isNameBeside(path, name))
  t.notOk(isNameBeside(`${path}2`, name))
  for (const other of ['.config', '.abcdef', `${name}x`, name.slice(0, -1), `x${name}`])
    t.notOk(isNameBeside(path, other), other)
})
