import { test } from 'tap'

import { parseProviderConfig } from '../../src/config/load.ts'
import { summarize } from '../../src/config/summary.ts'
import { change, faultsOf, findFaults, parse, VALID } from './valid-config.ts'

const ALONE = `
vault: {address: https://vault}
csi: {audience: vault}
`
const AUTH = 'vault.auth: is missing; how the program logs in to Vault'
const TRANSIT = 'transit: is missing; the Transit engine and its key'
const KEY = 'transit.key: is missing; name of the Transit key that encrypts the cluster'

const parseForProvider = (text: string) => parseProviderConfig('config.yaml', text, {})
const findProviderFaults = (text: string) => findFaults(text, {}, parseForProvider)
/** VALID without its login. */
const NO_LOGIN = change(/ {2}auth:\n( {4}.*\n)+/.exec(VALID)?.[0] ?? '', '')

void test('the provider alone requires neither a login nor a key', (t) => {
  const { config } = parseForProvider(ALONE)
  t.strictSame(config.vault, {
    addresses: ['https://vault'],
    timeoutMs: 2_000,
    allowPlaintext: false,
    clientCertificate: undefined,
    auth: undefined,
  })
  t.strictSame(config.transit, { mount: 'transit' })
  t.equal(config.csi?.mount, 'transit')
  t.end()
})

void test('for the provider alone, a mount without a key is allowed, and a key that rules must name in full', (t) => {
  const mount = parseForProvider(`${ALONE}transit: {mount: apps}`).config
  t.strictSame([mount.transit, mount.csi?.mount], [{ mount: 'apps' }, 'apps'])
  const key = parseForProvider(`${ALONE}transit: {key: k8s}`).config
  t.strictSame(key.transit, { mount: 'transit', key: 'k8s' })
  t.end()
})

void test('keys that the provider may omit are checked if they are set', (t) => {
  t.strictSame(findProviderFaults(`${ALONE}transit: {key: a/b, mont: x}`), [
    'transit.key: is not a valid Vault name; use letters, digits, _, . and -, without . or - at the start or end',
    'transit.mont: is not a known key; did you mean mount?',
  ])
  const auth = ALONE.replace('vault}', 'vault, auth: {method: token}}')
  t.match(findProviderFaults(auth), [/^vault\.auth\.tokenFile: is missing/])
  t.match(findProviderFaults(`${ALONE}transit:`), [/^transit: has no value/])
  t.end()
})

void test('with a section kms, valid or not, the provider requires the same keys as other commands', (t) => {
  for (const kms of ['kms: {clusterId: c}', 'kms:']) {
    const faults = findProviderFaults(`${ALONE}${kms}`)
    for (const fault of [AUTH, TRANSIT]) t.ok(faults.includes(fault), `${kms} ${fault}`)
  }
  t.strictSame(findProviderFaults(change('  key: k8s-etcd\n', '')), [KEY])
  t.strictSame(parseForProvider(VALID).config, parse(VALID))
  t.end()
})

void test('every other command reports what is missing, with or without a section kms', (t) => {
  t.strictSame(findFaults(ALONE), [TRANSIT, AUTH])
  t.strictSame(findFaults(`${ALONE}transit: {}`), [AUTH, KEY])
  t.strictSame(findFaults(NO_LOGIN), [AUTH])
  t.strictSame(
    faultsOf(NO_LOGIN).map(({ line }) => line),
    [1],
  )
  t.end()
})

void test('a misspelled login is one fault', (t) => {
  t.strictSame(findFaults(change('  auth:', '  aut:')), [
    'vault.aut: is not a known key; did you mean auth?',
  ])
  t.end()
})

void test('a missing login does not hide a fault of the address', (t) => {
  const text = NO_LOGIN.replace('https://vault.example.com:8200', 'http://vault')
  t.match(findFaults(text), [AUTH, /^vault\.address: is http:\/\/ to another host/])
  t.end()
})

void test('the summary shows how long local keys serve without Vault, and whether a restart loses them', (t) => {
  const kmsOf = (localKeys: string) => {
    const kms = `kms: {clusterId: a, localKeys: {enabled: true, ${localKeys}}}`
    const auth = 'auth: {method: jwt, role: a, tokenFile: /t}'
    const text = `vault: {address: https://vault, ${auth}}\ntransit: {key: k8s}\n${kms}\n`
    return summarize(parseForProvider(text))[2]
  }
  t.match(kmsOf('offlineFor: 8h'), /, local keys that serve 8h without Vault, only in memory$/)
  t.match(
    kmsOf('sealedFile: /var/l, nodeKeyFile: /run/k'),
    / 4h without Vault, sealed in \/var\/l$/,
  )
  t.end()
})

void test('the summary shows that only pods log in, and whether there is a key', (t) => {
  t.match(summarize(parseForProvider(ALONE)), [
    'vault: https://vault, no login (pods log in with their own tokens)',
    'transit: no key in transit',
    'kms: not configured',
    /^csi: .*, audience vault, 0 rules$/,
  ])
  const [, transit] = summarize(parseForProvider(`${ALONE}transit: {key: k8s}`))
  t.equal(transit, 'transit: key k8s in transit')
  const rule = 'namespaces: [a], serviceAccounts: [a], roles: [a], keys: [a], types: [jwks]'
  const rules = `[{${rule}}, {${rule}, mount: b}, {${rule}, vaultNamespace: c}, {${rule}, mount: b}]`
  const several = `vault: {address: https://vault}\ncsi: {audience: vault, rules: ${rules}}\n`
  t.match(summarize(parseForProvider(several))[3], /, 4 rules, 3 Transit engines$/)
  t.end()
})

void test('the summary shows whether pods get run-time sockets', (t) => {
  const rule = 'namespaces: [a], serviceAccounts: [a], roles: [a], keys: [a], operations: [sign]'
  const linesWith = (more: string) =>
    summarize(
      parseForProvider(
        `vault: {address: https://vault}\ncsi: {audience: vault, rules: [{${rule}}]${more}}\n`,
      ),
    ).filter((line) => line.startsWith('csi.runtime'))
  t.same(linesWith(', runtime: {enabled: true}'), [
    'csi.runtime: driver transit.transit-bridge.io at /var/lib/kubelet/plugins/transit.transit-bridge.io/csi.sock, 1 rule with operations',
  ])
  const unused = ['csi.runtime: not enabled, so operations in csi.rules have no effect (1 rule)']
  t.same(linesWith(''), unused)
  t.same(linesWith(', runtime: {enabled: false}'), unused)
  t.same(
    summarize(parseForProvider(ALONE)).filter((line) => line.startsWith('csi.runtime')),
    [],
  )
  t.end()
})
