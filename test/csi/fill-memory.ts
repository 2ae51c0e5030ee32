// Run by memory-bounds.test.ts under the heap limit of bin/transit-bridge: fills every cache of the CSI provider beyond its
// bound, all at the same time. Vault is a fake, because a real one would take minutes to hold thousands of large keys.
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { createCsiProvider } from '../../src/csi/provider.ts'
import { BridgeError } from '../../src/errors.ts'
import { createCsiMetrics } from '../../src/telemetry/metrics/roles.ts'
import { systemClock } from '../../src/time/clock.ts'
import type { VaultRequester, VaultResponse } from '../../src/vault/client/request.ts'
import { memoryLog } from '../fakes/log.ts'
import { CSI_CONFIG } from './fixture.ts'

const PEM = generateKeyPairSync('rsa', { modulusLength: 4096 }).publicKey.export({
  type: 'spki',
  format: 'pem',
})
const PUBLIC_KEY = Buffer.alloc(32, 1).toString('base64')
let isHanging = false

/** Each key has 100 versions; a ciphertext states the length of its value. */
const client: VaultRequester = {
  async request({ operation, path, body }): Promise<VaultResponse> {
    if (isHanging) return new Promise(() => undefined)
    if (operation === 'login') return { status: 200, body: loginAnswer() }
    if (operation === 'read_key')
      return { status: 200, body: keyAnswer(path.split('/').at(-1) ?? '') }
    if (operation === 'decrypt')
      return { status: 200, body: { data: valuesOf(body as DecryptBody) } }
    return { status: 204, body: undefined }
  },
}

type DecryptBody = { ciphertext?: string; batch_input?: { ciphertext: string }[] }

function loginAnswer() {
  const token = randomBytes(64).toString('hex')
  const policies = Array.from(
    { length: 20 },
    (_none, index) => `policy-${String(index)}-${token.slice(0, 8)}`,
  )
  return {
    auth: {
      client_token: token,
      lease_duration: 3600,
      renewable: true,
      entity_id: token,
      policies,
      token_type: 'service',
      accessor: token,
      num_uses: 0,
    },
  }
}

function keyAnswer(name: string) {
  const isRsa = name.startsWith('rsa')
  const keys = Object.fromEntries(
    Array.from({ length: isRsa ? 8 : 100 }, (_none, index) => [
      String(index + 1),
      {
        creation_time: '2026-01-01T00:00:00Z',
        name: 'x',
        public_key: isRsa ? Buffer.from(PEM).toString() : PUBLIC_KEY,
      },
    ]),
  )
  const latest = Object.keys(keys).length
  return {
    data: {
      name,
      type: isRsa ? 'rsa-4096' : 'ed25519',
      latest_version: latest,
      min_decryption_version: 1,
      keys,
    },
  }
}

function valuesOf({ ciphertext, batch_input: batch }: DecryptBody) {
  const value = (text: string) => {
    const [bytes] = Buffer.from(text.split(':')[2] ?? '', 'base64')
      .toString()
      .split(' ')
    return { plaintext: Buffer.alloc(Number(bytes)) }
  }
  return batch === undefined
    ? value(ciphertext ?? '')
    : { batch_results: batch.map((each) => value(each.ciphertext)) }
}

const { log } = memoryLog()
log.level = 'silent'
const provider = createCsiProvider({
  csi: { ...CSI_CONFIG, refreshIntervalMs: 300_000 },
  transit: { mount: 'transit', key: 'k8s-etcd' },
  vaultNamespace: undefined,
  client,
  programVersion: '1.2.3',
  clock: systemClock,
  log,
  metrics: createCsiMetrics('test'),
})

let pods = 0

async function mount(
  objects: object[],
  more: { tokenBytes?: number; pod?: number } = {},
): Promise<string> {
  const { tokenBytes = 800, pod = (pods += 1) } = more
  const uid = `pod-${String(pod)}`
  const payload = JSON.stringify({
    sub: 'system:serviceaccount:shop:web',
    aud: 'vault',
    exp: 4e9,
    pad: 'x'.repeat(tokenBytes),
    uid,
  })
  const token = `e30.${Buffer.from(payload).toString('base64url')}.AA`
  const prefix = 'csi.storage.k8s.io'
  const attributes = JSON.stringify({
    role: 'web',
    objects: JSON.stringify(objects),
    secretProviderClass: `class-${uid}`,
    [`${prefix}/pod.name`]: 'web',
    [`${prefix}/pod.namespace`]: 'shop',
    [`${prefix}/pod.uid`]: uid,
    [`${prefix}/serviceAccount.name`]: 'web',
    [`${prefix}/serviceAccount.tokens`]: JSON.stringify({ vault: { token } }),
  })
  try {
    const context = { deadline: systemClock.monotonic() + 20_000 }
    const files = await provider.service.mount(
      { attributes, secrets: 'null', targetPath: `/${uid}` },
      context,
    )
    for (const { contents } of files) contents.fill(0)
    return 'ok'
  } catch (thrown) {
    return BridgeError.from(thrown).code
  }
}

const secret = (path: string, bytes: number, pad = '') => ({
  path,
  type: 'decrypt',
  key: 'app',
  encoding: 'raw',
  ciphertext: `vault:v1:${Buffer.from(`${String(bytes)} ${pad}`).toString('base64')}`,
})

const steps: readonly (readonly [string, number, (index: number) => Promise<string>])[] = [
  [
    'sessions with large tokens',
    1_200,
    (index) => mount([secret('a', 8)], { tokenBytes: 11_000, pod: index }),
  ],
  [
    'keys and permissions',
    1_200,
    (index) =>
      mount([{ path: 'a', type: 'publicKey', key: `rsa-${String(index)}`, version: 1 }], {
        pod: index % 50,
      }),
  ],
  [
    'public content',
    250,
    (index) =>
      mount(
        [
          {
            path: `all-${String(index)}`,
            type: 'publicKey',
            key: `key-${String(index)}`,
            version: 'all',
          },
        ],
        { pod: index % 50 },
      ),
  ],
  ['large values', 90, (index) => mount([secret('a', 1_000_000)], { pod: index })],
  [
    'volumes of small values',
    2_000,
    (index) =>
      mount(
        Array.from({ length: 20 }, (_none, at) => secret(`${String(index)}-${String(at)}`, 8)),
        { pod: index % 900 },
      ),
  ],
  [
    'classes',
    80,
    (index) =>
      mount(
        Array.from({ length: 20 }, (_none, at) =>
          secret(`c-${String(index)}-${String(at)}`, 8, 'A'.repeat(7_500)),
        ),
        { pod: index % 50 },
      ),
  ],
  [
    'refused classes',
    200,
    (index) => mount([{ path: `x${String(index)}`, type: 'none', pad: 'x'.repeat(100_000) }]),
  ],
  ['volumes', 10_100, () => mount([])],
]

const report: Record<string, unknown> = { start: { heapMiB: heap() } }
for (const [name, count, run] of steps) {
  const codes = new Map<string, number>()
  for (let index = 0; index < count; index += 1) {
    const code = await run(index)
    codes.set(code, (codes.get(code) ?? 0) + 1)
  }
  report[name] = { ...Object.fromEntries(codes), heapMiB: heap() }
}

isHanging = true
for (let index = 0; index < 60; index += 1) {
  const part = (at: number) => secret(`w-${String(index)}-${String(at)}`, 8, 'B'.repeat(8_000))
  void mount(Array.from({ length: 20 }, (_none, at) => part(at)))
  // What is refused is released.
  await setImmediate()
}
report['text in flight'] = { heapMiB: heap() }
isHanging = false
const { size: sessions } = provider.sessions
const { volumes } = provider.ledger.summary()
process.stdout.write(JSON.stringify({ sessions, volumes, steps: report }))
process.exit(0)

function heap(): number {
  globalThis.gc?.()
  return Math.round(process.memoryUsage().heapUsed / 2 ** 20)
}
