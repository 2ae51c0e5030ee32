import { randomBytes } from 'node:crypto'
import { after, end, test } from 'tap'
import { CsiClient } from '../real/program/csi-client.ts'
import { eventually } from '../real/host/eventually.ts'
import { findInMemory } from '../real/host/process-memory.ts'
import { Provider } from '../real/program/provider.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { ALLOW_ALL } from './fixture.ts'
import { PodVault, newPod } from './pod-vault.ts'

const KEY_TYPES = ['aes256-gcm96', 'ed25519', 'ecdsa-p256', 'rsa-2048']

const vault = await PodVault.start()
after(() => vault.stop())
await vault.makeKey('app-data')
for (const type of KEY_TYPES) await vault.makeKey(`app-${type}`, type, { exportable: true })

/** The built program, and the CSI driver that calls it. */
async function startProvider(revalidateAfter: string) {
  const provider = await Provider.start(tempFolder('providers'), {
    vault: { address: vault.bao.address },
    csi: { audience: 'vault', revalidateAfter, rules: [{ ...ALLOW_ALL }] },
    log: { level: 'trace' },
  })
  const driver = new CsiClient(provider.socket)
  after(() => provider.stop())
  after(() => driver.close())
  return { driver, pid: provider.program.pid }
}

const { driver, pid } = await startProvider('0s')

async function mount(object: object, through = driver): Promise<Buffer> {
  const attributes = await vault.attributes(newPod(), [{ path: 'file', ...object }])
  const { files } = await through.mount({ attributes })
  return files.get('file')?.contents ?? Buffer.alloc(0)
}

async function mountValue(value: Buffer, more: object = {}, through = driver): Promise<Buffer> {
  const ciphertext = await vault.encrypt('app-data', value)
  return mount({ type: 'decrypt', key: 'app-data', encoding: 'raw', ciphertext, ...more }, through)
}

/** Pieces of some bytes as they are, in base64 and in hex. From the middle, because an allocator overwrites the first bytes of freed memory. */
function piecesOf(bytes: Buffer): readonly Buffer[] {
  const start = 3 * Math.floor(bytes.length / 9)
  const piece = bytes.subarray(start, start + 18)
  const texts = (['base64', 'hex'] as const).map((encoding) => piece.toString(encoding))
  return [piece, ...texts.flatMap((text) => [Buffer.from(text), Buffer.from(text, 'utf16le')])]
}

/**
 * Vault's answer is also in memory of undici's HTTP parser, which the next answers overwrite. A call ends for the
 * provider a moment after its caller has the answer.
 */
async function waitUntilGone(secrets: readonly Buffer[]): Promise<void> {
  const pieces = secrets.flatMap(piecesOf)
  const length = Math.max(...secrets.map((secret) => secret.length))
  await eventually('no secret to be in memory', async () => {
    await mountValue(randomBytes(2 * length))
    return findInMemory(pid, pieces).length === 0
  })
}

void test('content that is cached is found in the memory of the process', async (t) => {
  const caching = await startProvider('10m')
  const value = randomBytes(48)
  await mountValue(value, {}, caching.driver)
  const [raw = value] = piecesOf(value)
  t.same(findInMemory(caching.pid, [raw]), [raw])
})

void test('with revalidateAfter 0s, no copy of a decrypted value remains in the process', async (t) => {
  const secrets: Buffer[] = []
  for (const length of [48, 600, 5_000, 60_000]) {
    for (const encoding of ['raw', 'base64', 'hex']) {
      const value = randomBytes(length)
      secrets.push(value)
      const contents = await mountValue(value, { encoding })
      t.equal(
        contents.length,
        encoding === 'raw'
          ? length
          : Buffer.from(value.toString(encoding as BufferEncoding)).length,
      )
    }
  }
  for (const decode of ['base64', 'hex'] as const) {
    const value = randomBytes(600)
    secrets.push(value)
    t.same(await mountValue(Buffer.from(value.toString(decode)), { decode }), value)
  }
  await waitUntilGone(secrets)
})

void test('with revalidateAfter 0s, no copy of an exported key remains in the process', async (t) => {
  const secrets: Buffer[] = []
  for (const type of KEY_TYPES) {
    const contents = await mount({ type: 'exportedKey', key: `app-${type}`, encoding: 'raw' })
    const text = contents.toString('latin1').split('\n').slice(1, -2).join('')
    const secret = type === 'aes256-gcm96' ? contents : Buffer.from(text, 'base64')
    secrets.push(secret)
    // Transit's base64 begins with the seed, ours with the header of PKCS #8.
    if (type === 'ed25519') secrets.push(secret.subarray(-32))
    t.ok(secret.length >= 32)
  }
  await waitUntilGone(secrets)
})

void test('with revalidateAfter 0s, no copy of a value remains of a bundle or template', async (t) => {
  const secrets: Buffer[] = []
  for (const length of [48, 5_000]) {
    const value = randomBytes(length)
    secrets.push(value)
    const ciphertext = await vault.encrypt('app-data', value.toString('base64'))
    const part = { name: 'part', type: 'decrypt', key: 'app-data', ciphertext }
    const text = '{{ part }} {{ part | base64 }} {{ part | hex }} {{ part | json }}'
    const attributes = await vault.attributes(newPod(), [
      part,
      { ...part, name: 'raw', decode: 'base64' },
      { path: 'template', type: 'template', text: `${text} {{ raw | base64 }}` },
      { path: 'bundle', type: 'bundle', of: ['part', 'part'] },
    ])
    const { files } = await driver.mount({ attributes })
    t.ok(files.get('template')?.contents.includes(value.toString('base64')))
    t.ok(files.get('bundle')?.contents.includes(value.toString('base64')))
  }
  await waitUntilGone(secrets)
})

void test('with revalidateAfter 0s, no copy of a value remains from which a pointer selects a part', async (t) => {
  const secrets: Buffer[] = []
  for (const pointer of ['jsonPointer', 'yamlPointer']) {
    for (const length of [48, 5_000]) {
      const [part, rest] = [randomBytes(length), randomBytes(length)]
      secrets.push(part, rest)
      const value = { list: [{ part: part.toString('base64') }], rest: rest.toString('base64') }
      const contents = await mountValue(Buffer.from(JSON.stringify(value)), {
        [pointer]: '/list/0/part',
      })
      t.equal(String(contents), value.list[0]?.part)
      t.match(
        String(await mountValue(Buffer.from(JSON.stringify(value)), { [pointer]: '/list/0' })),
        value.list[0]?.part,
      )
    }
  }
  await waitUntilGone(secrets)
})

end()
