import { join } from 'node:path'
import { test } from 'tap'

import { ConfigError } from '../../src/yaml/fault.ts'
import { loadConfig } from '../../src/config/load.ts'
import { requireSection } from '../../src/config/section.ts'
import { BridgeError } from '../../src/errors.ts'
import { change, parse, VALID } from './valid-config.ts'

const SMALLEST = `
vault: {address: https://vault:8200/, auth: {role: kms, tokenFile: /token}}
transit: {key: k8s}
`

async function failureOf(file: string): Promise<string> {
  try {
    await loadConfig(file, {})
    return 'no failure'
  } catch (error) {
    return error instanceof ConfigError ? `${error.code} ${error.message}` : String(error)
  }
}

void test('the smallest configuration has all defaults', async (t) => {
  t.strictSame(parse(SMALLEST), {
    vault: {
      addresses: ['https://vault:8200'],
      timeoutMs: 2_000,
      allowPlaintext: false,
      clientCertificate: undefined,
      auth: { method: 'jwt', mount: 'jwt', role: 'kms', tokenFile: '/token' },
    },
    transit: { mount: 'transit', key: 'k8s' },
    admin: { listen: { host: '127.0.0.1', port: 9390 } },
    log: { level: 'info' },
  })
})

void test('a section kms requires only a cluster id', async (t) => {
  t.strictSame(parse(`${SMALLEST}kms: {clusterId: c}`).kms, {
    socket: '/run/transit-bridge/kms.sock',
    socketMode: 0o600,
    clusterId: 'c',
    refreshIntervalMs: 30_000,
    outageGraceMs: 120_000,
    maxCallsInFlight: 1024,
    decryptCache: { enabled: false, maxEntries: 4096, ttlMs: 86_400_000 },
    localKeys: {
      enabled: false,
      offlineForMs: 14_400_000,
      maxUses: 1_000_000,
      maxAgeMs: 86_400_000,
    },
    alsoDecryptClusters: [],
    acceptFrom: [],
    v1beta1: false,
  })
})

void test('a section csi requires an audience, and its default mount is that of transit', async (t) => {
  const text = SMALLEST.replace('{key: k8s}', '{key: k8s, mount: team/transit}')
  t.strictSame(parse(`${text}csi: {audience: vault}`).csi, {
    socket: '/var/run/secrets-store-csi-providers/transit-bridge.sock',
    audience: 'vault',
    auth: { method: 'jwt', mount: 'jwt' },
    authByNamespace: [],
    mount: 'team/transit',
    refreshIntervalMs: 30_000,
    revalidateAfterMs: 600_000,
    rules: [],
  })
})

void test('the root namespace of Vault and a trailing slash have one form in csi', async (t) => {
  const rule = 'namespaces: [a], serviceAccounts: [a], roles: [a], keys: [a], types: [jwks]'
  const csi = `csi:
  audience: vault
  auth: {namespace: root}
  authByNamespace: [{vaultNamespace: team-a/}, {vaultNamespace: root, method: kubernetes}]
  rules: [{vaultNamespace: root, ${rule}}, {vaultNamespace: a/b/, mount: second, ${rule}}, {${rule}}]`
  const read = parse(`${SMALLEST}${csi}`).csi
  t.strictSame(read?.auth, { method: 'jwt', mount: 'jwt', namespace: '' })
  t.strictSame(read?.authByNamespace, [
    { vaultNamespace: 'team-a', method: 'jwt', mount: 'jwt' },
    { vaultNamespace: '', method: 'kubernetes', mount: 'kubernetes' },
  ])
  t.strictSame(
    read?.rules.map(({ vaultNamespace, mount }) => [vaultNamespace, mount]),
    [
      ['', undefined],
      ['a/b', 'second'],
      [undefined, undefined],
    ],
  )
})

void test('every login method has its own keys, and its name is its default mount', async (t) => {
  const login = (auth: string) =>
    parse(SMALLEST.replace('{role: kms, tokenFile: /token}', auth)).vault.auth
  t.strictSame(login('{method: kubernetes, role: r, tokenFile: /t, namespace: a/b/}'), {
    method: 'kubernetes',
    mount: 'kubernetes',
    role: 'r',
    tokenFile: '/t',
    namespace: 'a/b',
  })
  t.strictSame(login('{method: approle, roleIdFile: /r, secretIdFile: /s}'), {
    method: 'approle',
    mount: 'approle',
    roleIdFile: '/r',
    secretIdFile: '/s',
  })
  t.strictSame(login('{method: cert, mount: tls/k8s, certFile: /c, keyFile: /k}'), {
    method: 'cert',
    mount: 'tls/k8s',
    certFile: '/c',
    keyFile: '/k',
  })
  t.strictSame(login('{method: token, tokenFile: /t}'), { method: 'token', tokenFile: '/t' })
})

void test('a client certificate is independent of the login method', async (t) => {
  const files = { certFile: '/c', keyFile: '/k' }
  const jwt = 'method: jwt, role: r, tokenFile: /t'
  const vaultOf = (auth: string, more = '') =>
    parse(`vault: {address: https://vault, auth: {${auth}}${more}}
transit: {key: k}
kms: {clusterId: a}`).vault
  for (const auth of [
    jwt,
    'method: kubernetes, role: r, tokenFile: /t',
    'method: approle, roleIdFile: /r, secretIdFile: /s',
    'method: token, tokenFile: /t',
  ]) {
    const beside = vaultOf(auth, ', clientCertFile: /c, clientKeyFile: /k')
    t.strictSame(beside.clientCertificate, { ...files, section: 'vault' })
    const inside = vaultOf(`${auth}, certFile: /c, keyFile: /k`)
    t.strictSame(inside.clientCertificate, { ...files, section: 'vault.auth' })
    t.strictSame(inside.auth, beside.auth, 'which is no part of the login')
  }
  const cert = vaultOf('method: cert, certFile: /c, keyFile: /k')
  t.strictSame(cert.clientCertificate, { ...files, section: 'vault.auth' })
  t.equal(vaultOf(jwt).clientCertificate, undefined)
})

void test('several addresses are kept in order, as origins', async (t) => {
  const text = change(
    'https://vault.example.com:8200',
    '[https://a/, "https://[::1]:8200", http://localhost:8200]',
  )
  t.strictSame(parse(text).vault.addresses, [
    'https://a',
    'https://[::1]:8200',
    'http://localhost:8200',
  ])
})

void test('http:// is allowed to loopback, and to other hosts only with allowPlaintext', async (t) => {
  for (const host of ['127.0.0.1', '127.9.9.9', 'localhost', '"[::1]"'.replaceAll('"', '')]) {
    t.doesNotThrow(
      () => parse(change('https://vault.example.com:8200', `"http://${host}:8200"`)),
      host,
    )
  }
  for (const host of ['127.0.0.1.example.com', 'localhost.example.com', '10.0.0.1', '[::2]']) {
    const text = change('https://vault.example.com:8200', `"http://${host}:8200"`)
    t.throws(() => parse(text), { code: 'CONFIG_INVALID' }, host)
    t.doesNotThrow(
      () => parse(text.replace('timeout: 2s', 'allowPlaintext: true')),
      `${host} with allowPlaintext`,
    )
  }
})

void test('the listener is an IPv6 address, or none', async (t) => {
  t.strictSame(parse(change('127.0.0.1:9390', '"[::1]:9390"')).admin, {
    listen: { host: '::1', port: 9390 },
  })
  t.strictSame(parse(change('127.0.0.1:9390', 'none')).admin, { listen: undefined })
})

void test('a group is a name or a number, quoted or not', async (t) => {
  const group = (text: string) =>
    parse(change('socketMode: "0600"', `socketGroup: ${text}`)).kms?.socketGroup
  t.equal(group('kube'), 'kube')
  t.equal(group('0'), 0)
  t.equal(group('"1000"'), 1000)
})

void test('a configuration is deeply frozen', async (t) => {
  const config = parse(VALID)
  for (const part of [config, config.vault.auth, config.csi?.rules[0]?.types])
    t.ok(Object.isFrozen(part))
})

void test('a file is read as UTF-8, with or without a byte order mark', async (t) => {
  const file = join(t.testdir({ 'config.yaml': `\uFEFF${VALID}` }), 'config.yaml')
  t.equal((await loadConfig(file, {})).kms?.clusterId, 'prod-eu-1')
})

void test('a file that cannot be read is reported in one line', async (t) => {
  const folder = t.testdir({ latin1: Buffer.from([0xfc]) })
  t.equal(
    await failureOf('/nowhere/a.yaml'),
    'CONFIG_INVALID /nowhere/a.yaml: cannot be read: there is no such file',
  )
  t.equal(await failureOf(folder), `CONFIG_INVALID ${folder}: cannot be read: it is a directory`)
  t.equal(
    await failureOf(join(folder, 'latin1')),
    `CONFIG_INVALID ${folder}/latin1: cannot be read: it is not UTF-8 text`,
  )
})

void test('a section that a command requires is returned, or the message says what to add', async (t) => {
  t.equal(requireSection(parse(VALID), 'kms').clusterId, 'prod-eu-1')
  t.throws(
    () => requireSection(parse(SMALLEST), 'kms'),
    new BridgeError(
      'CONFIG_INVALID',
      'kms: is missing; transit-bridge kms requires this section in the configuration, at least kms: {clusterId: NAME-OF-THE-CLUSTER}',
    ),
  )
})
