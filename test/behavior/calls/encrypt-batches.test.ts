import { test, type Test } from 'tap'
import { failFirst, shorten } from '../../faults/answers.ts'
import type { AnswerChange, HttpProxy } from '../../real/faults/http-proxy.ts'
import { eventually } from '../../real/host/eventually.ts'
import type { WrappedSeed } from '../../real/program/kms-client.ts'
import type { Plugin } from '../../real/program/plugin.ts'
import { KEY } from '../../real/vault/kms-vault.ts'
import { configKey, renderPolicy, rotateKey } from '../../real/vault/transit-setup.ts'
import { Fixture, linesSaying, newSeed, outcomeOf } from '../fixture.ts'

const fixture = await Fixture.open()
const ENCRYPT_PATH = `/v1/transit/encrypt/${KEY}`
/** The requests that wait, while further calls form a batch (src/transit/batcher.ts). */
const IN_FLIGHT = 2
const BATCH = 8
const PATIENT = { timeout: 25_000 }

const isEncrypt = (_method: string, path: string) => path === ENCRYPT_PATH

type Json = Record<string, unknown>
type Item = { ciphertext?: string; error?: string }

interface Call {
  readonly plaintext: Buffer
  readonly result: Promise<WrappedSeed>
}

/** A plugin behind a proxy, with two Encrypts in flight, so that all others form one batch. */
class HeldPlugin {
  readonly plugin: Plugin
  readonly proxy: HttpProxy
  readonly #first: Call[] = []
  readonly #calls: Call[] = []
  #isHeld = false
  #open: () => void = () => undefined

  static async start(t: Test): Promise<HeldPlugin> {
    const proxy = await fixture.httpProxy()
    const settings = { address: proxy.address, vault: { timeout: '8s' } }
    const held = new HeldPlugin(await fixture.startHealthy(settings), proxy)
    t.teardown(() => held.plugin.stop())
    return held
  }

  private constructor(plugin: Plugin, proxy: HttpProxy) {
    this.plugin = plugin
    this.proxy = proxy
  }

  /** Sends the Encrypts that are in flight until {@link release}. The client may send one again, over another connection. */
  async hold(): Promise<void> {
    this.#isHeld = true
    const isOpen = new Promise<void>((resolve) => (this.#open = resolve))
    const pass: AnswerChange = ({ status, headers, body }, response) =>
      void isOpen.then(() => response.writeHead(status, headers).end(body))
    const match = (method: string, path: string) => this.#isHeld && isEncrypt(method, path)
    this.proxy.alter(pass, { match })
    const before = this.encryptRequests
    for (let count = 1; count <= IN_FLIGHT; count += 1) {
      this.#first.push(this.#call())
      await eventually('a request in flight', () => this.encryptRequests >= before + count)
    }
  }

  /** Starts Encrypts that wait, and returns when all of them do: Status arrives after them, on the same connection. */
  async fill(count = BATCH): Promise<readonly Call[]> {
    for (let index = 0; index < count; index += 1) this.#calls.push(this.#call())
    await this.plugin.client.status(PATIENT)
    return this.#calls
  }

  release(): void {
    this.#isHeld = false
    this.#open()
  }

  /** The calls in flight succeeded. */
  async checkFirst(t: Test): Promise<void> {
    await this.check(t, this.#first)
  }

  /** Each ciphertext decrypts to the plaintext of its own call. */
  async check(t: Test, calls: readonly Call[] = this.#calls): Promise<void> {
    for (const { plaintext, result } of calls)
      t.same(await this.plugin.client.decrypt(await result, PATIENT), plaintext)
  }

  get encryptRequests(): number {
    return this.proxy.count('POST', ENCRYPT_PATH)
  }

  #call(): Call {
    const plaintext = newSeed()
    const result = this.plugin.client.encrypt(plaintext, PATIENT)
    result.catch(() => undefined)
    return { plaintext, result }
  }
}

/** Changes the results of a batch; single answers pass. */
function changeResults(change: (results: Item[]) => Item[]): AnswerChange {
  return ({ status, headers, body }, response) => {
    const answer = JSON.parse(body.toString()) as { data: { batch_results?: Item[] } }
    const { batch_results: results } = answer.data
    const changed = results === undefined ? answer : { data: { batch_results: change(results) } }
    const { 'content-length': _length, ...rest } = headers
    response.writeHead(status, rest).end(JSON.stringify(changed))
  }
}

void test('Encrypts that wait share one request, and each ciphertext is that of its own seed', async (t) => {
  const held = await HeldPlugin.start(t)
  const before = held.encryptRequests
  await held.hold()
  const calls = await held.fill()
  held.release()
  await held.checkFirst(t)
  await held.check(t)
  t.equal(held.encryptRequests - before, IN_FLIGHT + 1)
  const { keyId } = await held.plugin.client.status()
  for (const { result } of calls) t.equal((await result).keyId, keyId)
})

void test('a missing result fails every call of the batch, and a proof follows', async (t) => {
  const held = await HeldPlugin.start(t)
  await held.hold()
  const calls = await held.fill()
  held.proxy.alter(shorten, { match: isEncrypt, times: 1 })
  held.release()
  for (const { result } of calls)
    t.match(await outcomeOf(result), { code: 'UNAVAILABLE', message: /number of results/ })
  await held.checkFirst(t)
  await held.plugin.waitForHealth('ok')
})

void test('the error of one value fails only its call', async (t) => {
  for (const [change, message] of [
    [failFirst, /internal error/],
    [
      changeResults(([first = {}, ...rest]) => [
        { ciphertext: first.ciphertext?.replace(/^vault:v\d+/, 'vault:v99') ?? '' },
        ...rest,
      ]),
      /did not encrypt with version/,
    ],
    [
      changeResults(([first = {}, ...rest]) => [
        { ciphertext: (first.ciphertext ?? '').slice(0, -8) },
        ...rest,
      ]),
      /length does not match/,
    ],
    [changeResults(([, ...rest]) => [{}, ...rest]), /did not encrypt with version/],
  ] as const) {
    const held = await HeldPlugin.start(t)
    await held.hold()
    const [first, ...others] = await held.fill()
    held.proxy.alter(change, { match: isEncrypt, times: 1 })
    held.release()
    if (first !== undefined)
      t.match(await outcomeOf(first.result), { code: 'UNAVAILABLE', message })
    await held.check(t, others)
    await held.plugin.stop()
  }
})

void test('a batch that Vault rejects as a whole is sent one by one', async (t) => {
  const held = await HeldPlugin.start(t)
  const before = held.encryptRequests
  await held.hold()
  await held.fill()
  const rejected = { status: 400, body: { errors: ['batch_input is not welcome here'] } }
  held.proxy.respond(rejected, { match: isEncrypt, times: 1 })
  held.release()
  await held.checkFirst(t)
  await held.check(t)
  t.equal(held.encryptRequests - before, IN_FLIGHT + 1 + BATCH)
})

void test('a rotation between two batches: calls that wait are encrypted with the new version, under its key id', async (t) => {
  const held = await HeldPlugin.start(t)
  const { keyId: before } = await held.plugin.client.status()
  await held.hold()
  const calls = await held.fill()
  await rotateKey(fixture.bao, KEY)
  const latest = await latestVersion()
  await configKey(fixture.bao, KEY, { min_encryption_version: latest })
  held.release()
  await held.check(t)
  const { keyId: after } = await held.plugin.client.status()
  t.not(after, before)
  for (const { result } of calls) {
    const { ciphertext, keyId } = await result
    t.equal(keyId, after)
    t.match(Buffer.from(ciphertext).toString('latin1'), new RegExp(`^vault:v${String(latest)}:`))
  }
  await configKey(fixture.bao, KEY, { min_encryption_version: 0 })
})

async function latestVersion(): Promise<number> {
  const { data } = await fixture.bao.api('GET', `transit/keys/${KEY}`)
  return Number(data.latest_version)
}

void test('callers of one batch with different deadlines, or that cancel, do not affect each other', async (t) => {
  const held = await HeldPlugin.start(t)
  await held.hold()
  const { client } = held.plugin
  const canceled = new AbortController()
  const gone = outcomeOf(client.encrypt(newSeed(), { ...PATIENT, signal: canceled.signal }))
  const hasty = outcomeOf(client.encrypt(newSeed(), { timeout: 2_500 }))
  await held.fill()
  canceled.abort()
  t.match(await gone, { code: 'CANCELLED' })
  t.match(await hasty, { code: 'UNAVAILABLE', message: /did not answer encrypt/ })
  held.release()
  await held.check(t)
})

const STRICT_POLICY = `
path "transit/keys/k8s-etcd" { capabilities = ["read"] }
path "transit/decrypt/k8s-etcd" { capabilities = ["update"] }
path "transit/encrypt/k8s-etcd" {
  capabilities = ["update"]
  allowed_parameters = { "plaintext" = [], "associated_data" = [], "key_version" = [] }
}`

void test('a policy that denies batch_input: concurrent Encrypts succeed, and the log names the cause', async (t) => {
  await fixture.vault.writePolicy(STRICT_POLICY)
  const plugin = await fixture.startHealthy()
  const { client } = plugin
  const plaintexts = Array.from({ length: 64 }, newSeed)
  const wrapped = await Promise.all(
    plaintexts.map((plaintext) => client.encrypt(plaintext, PATIENT)),
  )
  t.same(await Promise.all(wrapped.map((each) => client.decrypt(each, PATIENT))), plaintexts)
  t.equal((await client.status()).healthz, 'ok')
  t.match(linesSaying(plugin, 'Vault denies batches'), [
    { level: 'warn', msg: /concurrent Encrypts .* transit\/encrypt\/k8s-etcd/ },
  ])
  await fixture.vault.writePolicy(await renderPolicy('kms.hcl'))
  await plugin.stop()
})

void test('a Vault that ignores the associated data of a batch is reported, and encrypts nothing', async (t) => {
  const proxy = await fixture.httpProxy()
  const strip = ({ associated_data: _ignored, ...rest }: Json): Json => rest
  proxy.change(
    (body) =>
      Array.isArray(body['batch_input'])
        ? { ...body, batch_input: (body['batch_input'] as Json[]).map(strip) }
        : body,
    { match: isEncrypt },
  )
  const plugin = await fixture.start({ address: proxy.address, kms: { refreshInterval: '1s' } })
  await plugin.waitForHealth(/associated_data/)
  t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'FAILED_PRECONDITION' })
  proxy.clear()
  await plugin.waitForHealth('ok')
  await plugin.stop()
})

fixture.end()
