// What a run must notice. A correct program shows none of it, so the answers here are not those of a program.
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { end, test } from 'tap'
import type { Mounted } from '../real/program/csi-client.ts'
import type { WrappedSeed } from '../real/program/kms-client.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { ApiServer } from './load/api-server.ts'
import { Calls } from './load/calls.ts'
import { changeData } from './load/changed-data.ts'
import { Condition } from './members/condition.ts'
import { Findings } from './watch/findings.ts'
import { HandedOut } from './load/handed-out.ts'
import { countRight } from './load/lost-ciphertexts.ts'
import { RefusalStreak } from './load/refusal-streak.ts'
import { Plaintexts, Random } from './random.ts'
import { VolumeClass } from './load/volume-class.ts'

const NO_ANNOTATIONS = {}

function setup() {
  const findings = new Findings()
  const plaintexts = new Plaintexts('test')
  const handedOut = new HandedOut(join(tempFolder('soak'), 'records'), plaintexts)
  const kinds = () => findings.kept.map(({ kind }) => kind)
  return { findings, handedOut, plaintexts, kinds }
}

/** A plugin that does not encrypt, whose key id is the version of the key. */
function setupServer() {
  const parts = setup()
  const plugin = { keyId: '1', change: (plaintext: Buffer) => plaintext }
  const client = {
    status: () => Promise.resolve({ version: 'v2', healthz: 'ok', keyId: plugin.keyId }),
    encrypt: (plaintext: Uint8Array) =>
      Promise.resolve({ ciphertext: plaintext, keyId: plugin.keyId, annotations: NO_ANNOTATIONS }),
    decrypt: ({ ciphertext }: WrappedSeed) =>
      Promise.resolve(plugin.change(Buffer.from(ciphertext))),
  }
  const versions = {
    latest: 2,
    versionOf: (keyId: string) => Promise.resolve(Number(keyId) || undefined),
  }
  const options = { name: 'plugin', client: client as never, versions, ...parts }
  return { ...parts, plugin, server: new ApiServer(options) }
}

void test('a wrong plaintext is found', async (t) => {
  const { server, plugin, handedOut, kinds } = setupServer()
  await server.encrypt(0)
  const record = handedOut.get(0)
  await server.decrypt(record)
  t.same(kinds(), [])
  plugin.change = (plaintext) => Buffer.concat([plaintext.subarray(1), Buffer.of(0)])
  await server.decrypt(record)
  t.same(kinds(), ['wrong plaintext'])
})

void test('a key id that goes back, and an unknown one, are found', async (t) => {
  const { server, plugin, kinds } = setupServer()
  await server.status()
  t.notOk(await server.works(0), 'the plugin does not announce the latest version yet')
  plugin.keyId = '2'
  t.ok(await server.works(0))
  t.same(kinds(), [])
  plugin.keyId = '1'
  await server.encrypt(1)
  plugin.keyId = 'foreign'
  await server.status()
  t.same(kinds(), ['key id', 'key id'])
})

void test('a plugin that is killed just after a rotation may have forgotten the new key id', async (t) => {
  const { server, plugin, kinds } = setupServer()
  plugin.keyId = '2'
  await server.status()
  server.forgetUnwritten()
  plugin.keyId = '1'
  await server.status()
  t.same(kinds(), [])
})

/** A program in a state of its own. */
function setupCalls(given: { hasLocalKeys?: boolean } = {}) {
  const { findings, kinds } = setup()
  const condition = new Condition()
  condition.settle(condition.mark())
  const member = { name: 'plugin', condition, hasLocalKeys: false, ...given } as never
  const calls = new Calls(findings)
  const fails = (code: string, message: string) => () =>
    Promise.reject(Object.assign(new Error(message), { code }))
  return { kinds, condition, member, calls, fails }
}

const REASON = 'Vault did not answer within 2 s'

void test('a call that fails although no fault is active is found', async (t) => {
  const { kinds, member, calls, fails, condition } = setupCalls()
  await calls.make({ member, what: 'Encrypt', run: fails('UNAVAILABLE', REASON) })
  t.same(kinds(), ['call'])
  condition.begin('outage')
  await calls.make({ member, what: 'Encrypt', run: fails('UNAVAILABLE', REASON) })
  condition.end('outage')
  await calls.make({ member, what: 'Encrypt', run: fails('UNAVAILABLE', REASON) })
  t.same(kinds(), ['call'], 'during a fault and before the recovery it may fail')
  t.ok(condition.settle(condition.mark()))
  await calls.make({ member, what: 'Encrypt', run: fails('UNAVAILABLE', REASON) })
  t.same(kinds(), ['call', 'call'])
  t.same(calls.counts.get('Encrypt'), { ok: 0, refused: 4, unanswered: 0 })
})

void test('a plugin with local keys must encrypt during an outage, and need not after a refusal', async (t) => {
  const { kinds, member, calls, fails, condition } = setupCalls({ hasLocalKeys: true })
  const encrypt = { member, what: 'Encrypt', run: fails('UNAVAILABLE', REASON) } as const
  condition.begin('outage')
  await calls.make({ ...encrypt, what: 'Decrypt' })
  t.same(kinds(), [])
  await calls.make({ ...encrypt, needs: 'local keys' })
  t.same(kinds(), ['call'])
  condition.begin('refusal')
  await calls.make({ ...encrypt, needs: 'local keys' })
  t.same(kinds(), ['call'])
})

void test('a call that is late may be repeated, and is found if it is late each time', async (t) => {
  const { kinds, member, calls, fails } = setupCalls()
  const late = fails('DEADLINE_EXCEEDED', 'Deadline exceeded after 3.001s')
  let count = 0
  const isLateOnce = () => (count++ === 0 ? late() : Promise.resolve('answer'))
  t.equal(await calls.make({ member, what: 'Decrypt', run: isLateOnce }), 'answer')
  t.same(kinds(), [])
  await calls.make({ member, what: 'Decrypt', run: late })
  t.same(kinds(), ['call'])
})

void test('a fault that begins or ends during a call excuses it', async (t) => {
  const { kinds, member, calls, fails, condition } = setupCalls()
  const run = () => {
    condition.begin('down')
    condition.end('down')
    return fails('UNAVAILABLE', REASON)()
  }
  await calls.make({ member, what: 'Decrypt', run })
  t.same(kinds(), [])
  t.notOk(condition.isSettled)
})

void test('a fault that begins during the check of the recovery makes the check void', (t) => {
  const condition = new Condition()
  const mark = condition.mark()
  condition.begin('outage')
  t.notOk(condition.settle(mark))
  condition.end('outage')
  t.notOk(condition.settle(mark))
  t.ok(condition.settle(condition.mark()))
  t.throws(() => condition.end('outage'), /no such fault/)
  t.end()
})

void test('a refusal without a reason, and a plaintext for changed data, are found', async (t) => {
  const { kinds, member, calls, fails, condition } = setupCalls()
  condition.begin('outage')
  await calls.make({ member, what: 'Decrypt', run: fails('UNAVAILABLE', '') })
  await calls.make({ member, what: 'Decrypt', run: fails('UNKNOWN', REASON) })
  t.same(kinds(), ['reason', 'reason'])
  const what = 'Decrypt of changed data'
  await calls.makeForbidden({
    member,
    what,
    run: fails('INVALID_ARGUMENT', 'the ciphertext was changed'),
  })
  await calls.makeForbidden({ member, what, run: () => Promise.resolve('a plaintext') })
  t.same(kinds().slice(2), ['plaintext for changed data'])
  const mistake = () => Promise.reject(new TypeError('a mistake of the soak'))
  await t.rejects(calls.make({ member, what, run: mistake }), TypeError)
})

void test('a Status that stays ok while Encrypt is refused is found', (t) => {
  const { findings, kinds } = setup()
  let now = 0
  const streak = new RefusalStreak('plugin', findings, () => now)
  const refuse = (times: number) => {
    for (let count = 0; count < times; count += 1) {
      streak.noteEncrypt('refused')
      now += 1_000
    }
  }
  refuse(9)
  streak.noteStatus('ok')
  streak.noteEncrypt('other')
  refuse(9)
  streak.noteStatus('Vault is sealed')
  refuse(9)
  streak.noteStatus('ok')
  t.same(kinds(), [])
  refuse(1)
  streak.noteStatus('ok')
  t.same(kinds(), ['Status'])
  t.end()
})

void test('changed data is never the same as before', (t) => {
  const random = new Random('changes')
  const makeSeed = (keyId: string): WrappedSeed => ({
    keyId,
    ciphertext: randomBytes(60),
    annotations: { 'version.test': Buffer.from('2'), 'key.test': randomBytes(8) },
  })
  const [seed, other] = [makeSeed('one'), makeSeed('other')]
  const changes = Array.from({ length: 200 }, () => changeData(seed, other, random))
  t.notOk(changes.some((changed) => isDeepStrictEqual(changed, seed)))
  const same = Array.from({ length: 50 }, () => changeData(seed, seed, random))
  t.ok(same.includes(undefined), 'there is nothing to exchange with itself')
  t.end()
})

void test('a lost ciphertext and a wrong plaintext are found at the end', async (t) => {
  const { findings, kinds } = setup()
  const right = await countRight({
    count: 100,
    decrypt: (place) => {
      if (place === 41) return Promise.reject(new Error('the key version is gone'))
      return Promise.resolve(place !== 99)
    },
    onFault: findings.add.bind(findings),
  })
  t.equal(right, 98)
  t.same(kinds().toSorted(), ['lost ciphertext', 'wrong plaintext'])
  t.match(findings.kept[0]?.message, /record 41: the key version is gone/)
})

void test('half a set of files, and a wrong file, are found', (t) => {
  const objects = [{}, {}, {}]
  const volume = new VolumeClass(objects, new Map([['values/0', 'right']]))
  const mounted = (change: Record<string, string | undefined> = {}): Mounted => {
    const all = { 'signing.pem': 'PEM', 'jwks.json': '{"keys":[{}]}', 'values/0': 'right' }
    const files = Object.entries({ ...all, ...change }).filter(
      (file): file is [string, string] => file[1] !== undefined,
    )
    return {
      files: new Map(
        files.map(([path, text]) => [path, { mode: 0o644, contents: Buffer.from(text) }]),
      ),
      versions: new Map(files.map(([path]) => [path, '1'])),
    }
  }
  const find = (change?: Record<string, string | undefined>) =>
    volume.findFault(mounted(change), new Set(['PEM']))
  t.equal(find(), undefined)
  t.match(find({ 'jwks.json': undefined }), /2 files and 2 versions of 3/)
  t.match(find({ 'values/0': 'wrong' }), /wrong content of values\/0/)
  t.match(find({ 'signing.pem': 'another' }), /public key/)
  t.match(find({ 'jwks.json': '{"keys":[]}' }), /without keys/)
  t.end()
})

end()
