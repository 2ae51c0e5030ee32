import { dress, edit, write } from './edits.ts'
import { DURATIONS, ENDPOINTS, RESOURCES, SCALARS } from './odd-values.ts'
import type { Random } from './random.ts'

const AES_KEYS = [
  'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=',
  'AAAAAAAAAAAAAAAAAAAAAA==',
  'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
]

/** A file for kube-apiserver, near what it accepts. */
export function makeEncryptionFile(random: Random): string {
  const text = dress(random, write(random, makeDocument(random)))
  return random.chance(35) ? edit(random, text) : text
}

function makeDocument(random: Random): unknown {
  const document = {
    apiVersion: mostly(random, 'apiserver.config.k8s.io/v1', ['v1', 'apiserver.k8s.io/v1', '']),
    kind: mostly(random, 'EncryptionConfiguration', ['EncryptionConfig', 'Encryption', '']),
    resources: random.some(2, () => makeRule(random)),
  }
  const legacy = { ...document, apiVersion: 'v1', kind: 'EncryptionConfig' }
  return vary(random, random.chance(10) ? legacy : document)
}

function makeRule(random: Random): unknown {
  return vary(random, {
    resources: random.some(2, () =>
      mostly(
        random,
        `${random.pick(['secrets', 'pandas.example.com', 'x.apps'])}${random.below(9)}`,
        RESOURCES,
      ),
    ),
    providers: random.some(2, () => makeProvider(random)),
  })
}

function makeProvider(random: Random): unknown {
  const kind = random.pick(['kms', 'kms', 'aescbc', 'aesgcm', 'secretbox', 'identity'])
  const provider = { [kind]: makeSettings(random, kind) }
  return random.chance(4) ? { ...provider, identity: {} } : vary(random, provider)
}

function makeSettings(random: Random, kind: string): unknown {
  if (kind === 'identity') return mostly(random, {}, [null, [], 'x', { a: 1 }])
  if (kind === 'kms') return vary(random, makeKms(random))
  return vary(random, {
    keys: random.some(2, () =>
      vary(random, {
        name: mostly(random, random.pick(['key1', 'key2', 'a:b']), ['', 7, true, null]),
        secret: makeKey(random, kind),
      }),
    ),
  })
}

function makeKey(random: Random, kind: string): unknown {
  const [right = ''] = AES_KEYS
  if (kind !== 'secretbox' && random.chance(20)) return random.pick(AES_KEYS)
  const odd = ['', '!', 'AAAA', `${right}\n`, right.slice(0, 10) + '\n' + right.slice(10)]
  return mostly(random, right, [...odd, right.replace('A=', 'B='), right.replace('=', ''), 12345])
}

function makeKms(random: Random): Record<string, unknown> {
  const number = random.below(1000)
  const kms: Record<string, unknown> = {
    apiVersion: mostly(random, 'v2', ['v1', 'v3', '', 2]),
    name: mostly(random, `kms-${number}`, ['kms', 'kms', 'a:b', '', 7]),
    endpoint: makeEndpoint(random, number),
  }
  if (random.chance(60)) kms['timeout'] = makeTimeout(random)
  if (random.chance(4)) kms['cachesize'] = random.pick([0, 100, null, '100', 1.5, 1e10])
  return kms
}

function makeEndpoint(random: Random, number: number): unknown {
  return mostly(random, `unix:///run/kms-${number}.sock`, [...ENDPOINTS, 7])
}

function makeTimeout(random: Random): unknown {
  const usual = random.pick(['3s', '10s', '1.5s', '1m30s', '500ms', '1h', '+3s', '.5s'])
  return mostly(random, usual, [...DURATIONS, null, 3, true])
}

function mostly(random: Random, usual: unknown, odd: readonly unknown[]): unknown {
  return random.chance(3) ? random.pick(odd) : usual
}

/** Sometimes one field is added, removed, or of another type. */
function vary(random: Random, value: object): unknown {
  if (random.chance(98)) return value
  const names = Object.keys(value)
  const name = random.pick(names)
  const fields = value as Readonly<Record<string, unknown>>
  switch (random.below(5)) {
    case 0:
      return Object.fromEntries(Object.entries(fields).filter(([each]) => each !== name))
    case 1:
      return { ...fields, [random.pick(['extra', name.toUpperCase(), ` ${name}`])]: 1 }
    case 2:
      return { ...fields, [name]: random.pick([null, [], {}, 'x', 1, true, ['x'], [null]]) }
    case 3:
      return random.pick([null, [], 'x', [value]])
    default:
      return Object.fromEntries(Object.entries(fields).toReversed())
  }
}

/** Files in which one value is a scalar that YAML versions read differently, unquoted. */
export function listOddScalars(): readonly string[] {
  return SCALARS.flatMap((scalar) => [
    plain({ name: scalar }),
    plain({ resource: scalar }),
    plain({ timeout: scalar }),
    plain({ key: scalar }),
  ])
}

function plain({ name = 'transit-bridge', resource = 'secrets', timeout = '3s', key = 'key1' }) {
  return `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources:
      - ${resource}
    providers:
      - kms: {apiVersion: v2, name: ${name}, endpoint: "unix:///run/kms.sock", timeout: ${timeout}}
      - aescbc:
          keys:
            - name: ${key}
              secret: ${AES_KEYS[0]}
`
}
