import { test } from 'tap'
import { parseEncryptionRules } from '../../src/encryption/rules-file.ts'
import type { Store } from '../../src/etcd/store.ts'
import { shallowProof, type Finding, type Proof } from '../../src/verify/proof.ts'
import { formatReport } from '../../src/verify/report-text.ts'
import type { Depth, Report } from '../../src/verify/report.ts'
import { verifyStore } from '../../src/verify/verification.ts'
import {
  parseGroupResource,
  parseResource,
  pathOfResource,
  resourceOfPath,
} from '../../src/kube/resource.ts'
import { HandClock } from '../fakes/clock.ts'
import { kmsV2Value } from './envelopes.ts'

const PLAIN = Buffer.from('k8s\0x')

const CLUSTER = ['namespaces/kube-system', PLAIN] as const
const rulesFor = (resources: string, providers: string) => `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [${resources}]
    providers: [${providers}]
`
const KMS = '{kms: {apiVersion: v2, name: transit-bridge, endpoint: unix:///run/a.sock}}'
const IDENTITY = '{identity: {}}'

type Entry = readonly [path: string, value: Buffer, finding?: Finding]
type Options = {
  allowed?: string[]
  rules?: string
  resources?: string[]
  prefix?: string
  depth?: Depth
  isCluster?: boolean
}

/** A store with these objects and, unless told otherwise, the namespace that every cluster has. */
async function report(entries: readonly Entry[], options: Options = {}): Promise<Report> {
  const { allowed = [], rules = '', resources, prefix = '/registry/', isCluster = true } = options
  const all: readonly Entry[] = [...entries, ...(isCluster ? [CLUSTER] : [])]
  const objects = all.map(([path, value]) => ({ key: Buffer.from(`${prefix}${path}`), value }))
  const store: Store = {
    name: 'etcd at http://127.0.0.1:2379',
    revisions: [42n],
    faults: [],
    fraction: undefined,
    foundMarkers: new Set(all.map(([path]) => `${prefix}${path}`)),
    async *readPages({ paths }) {
      yield await Promise.resolve(
        objects.filter(
          ({ key }) =>
            paths === undefined || paths.some((path) => String(key).startsWith(prefix + path)),
        ),
      )
    },
    findPrefixes: () => Promise.resolve([prefix]),
    close: () => Promise.resolve(),
  }
  const findings = new Map(entries.map(([path, , finding]) => [`${prefix}${path}`, finding]))
  const proof: Proof = {
    async check(parsed) {
      const found = await shallowProof.check(parsed)
      return found.map((each, at) => findings.get(String(parsed[at]?.key)) ?? each)
    },
    end: () => undefined,
  }
  return verifyStore({
    store,
    prefix,
    resources: resources?.flatMap((name) => parseResource(name) ?? []),
    allowed: allowed.map(parseGroupResource),
    rules: rules === '' ? undefined : parseEncryptionRules('encryption.yaml', rules),
    clock: new HandClock(),
    deep: { proof, depth: options.depth ?? 'envelopes', uid: 'verify-x' },
    onProgress: () => undefined,
    signal: new AbortController().signal,
  })
}

const version = (number: number, keyId = `tb1-of-version-${String(number)}`) =>
  kmsV2Value({ source: Buffer.from(`vault:v${String(number)}:QUJD`), keyId })

void test('the table has the newest version first and plaintext last', async (t) => {
  const found = await report([
    ['secrets/a/1', version(1)],
    ['secrets/a/2', PLAIN],
    ['secrets/a/3', version(2)],
    ['secrets/a/4', version(2)],
    ['configmaps/a/1', PLAIN],
    ['example.com/widgets/a/1', version(2)],
  ])
  t.equal(found.ok, false)
  t.equal(
    formatReport(found),
    `etcd at http://127.0.0.1:2379, /registry/, revision 42

RESOURCE              OBJECTS   PROVIDER                KEY VERSION   SEEDS   KEY ID
secrets                     2   kms v2 transit-bridge             2       1   tb1-of-version-2
secrets                     1   kms v2 transit-bridge             1       1   tb1-of-version-1
secrets                     1   plaintext protobuf                -       -   -
widgets.example.com         1   kms v2 transit-bridge             2       1   tb1-of-version-2

not required to be encrypted: 2 objects of 2 resources (configmaps 1, namespaces 1)
transit key versions needed by kms v2 transit-bridge: 2, 1; the oldest is 1, and older etcd snapshots may need older versions
uid of its requests in Vault's audit log: verify-x (transit-bridge audit --verify-run)
plaintext:
  /registry/secrets/a/2
NOT ok: of 7 objects: 1 in plaintext`,
  )
})

void test('a report counts the objects under local keys, and says what an API server needs to start without Vault', async (t) => {
  const wrapped = Buffer.from('vault:v2:QUJD')
  const annotations = { 'local-key.transit-bridge.internal': wrapped }
  const local = kmsV2Value({ keyId: 'tb1-of-version-2', annotations, source: Buffer.alloc(80) })
  const foreign = kmsV2Value({ keyId: 'theirs', annotations: {} })
  const linesOf = async (...values: readonly Buffer[]) => {
    const found = await report(values.map((value, at) => [`secrets/a/${String(at)}`, value]))
    return formatReport(found).match(/^under local keys.*$/m)?.[0]
  }
  t.equal(await linesOf(version(2), PLAIN), undefined)
  t.equal(await linesOf(local, local, foreign, PLAIN), 'under local keys: 2 of 2 objects')
  t.match(
    await linesOf(local, version(2), version(1)),
    /^under local keys: 1 of 3 objects; .* until the other 2 are, too: run transit-bridge rotate$/,
  )
})

void test('a store without plaintext Secrets is ok, and so is one without Secrets', async (t) => {
  const right = await report([['secrets/a/1', version(1)]])
  t.match(right, { ok: true, plain: 0, seeds: 1 })
  t.match(
    formatReport(right),
    /\nok: 2 objects read, nothing in plaintext that must be encrypted, /,
  )
  const none = await report([['pods/a/1', PLAIN]])
  t.match(none, {
    ok: true,
    resources: [{ resource: 'namespaces' }, { resource: 'pods' }, { resource: 'secrets' }],
  })
  t.match(formatReport(none), /\nsecrets +0 +- +-/)
})

void test('a resource with one encrypted object must be encrypted completely', async (t) => {
  const entries = [
    ['configmaps/a/1', PLAIN],
    ['configmaps/a/2', version(1)],
  ] as const
  t.match(await report(entries), { ok: false, plain: 1 })
  t.match(await report(entries, { allowed: ['configmaps'] }), { ok: true, plain: 0 })
})

void test('rules apply as kube-apiserver applies them', async (t) => {
  const rules = `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [configmaps]
    providers: [{identity: {}}]
  - resources: [deployments.apps, '*.example.com', '*.']
    providers:
      - kms: {apiVersion: v2, name: transit-bridge, endpoint: unix:///run/a.sock}
      - identity: {}
`
  const found = await report(
    [
      ['configmaps/a/1', PLAIN],
      ['deployments/a/1', PLAIN],
      ['replicasets/a/1', PLAIN],
      ['example.com/widgets/a/1', PLAIN],
      ['other.com/gadgets/a/1', PLAIN],
      ['secrets/a/1', kmsV2Value({ provider: 'former' })],
    ],
    { rules },
  )
  const expected = found.resources.filter(({ toBeEncrypted }) => toBeEncrypted)
  t.same(
    expected.map(({ resource, plain, otherProvider }) => [resource, plain, otherProvider]),
    [
      ['deployments.apps', 1, 0],
      ['namespaces', 1, 0],
      ['secrets', 0, 1],
      ['widgets.example.com', 1, 0],
    ],
  )
  t.match(
    formatReport(found),
    /encrypted by a provider other than the one that writes: secrets 1\n/,
  )
})

void test('damaged objects are listed in every resource', async (t) => {
  const damaged = Buffer.from('k8s:enc:kms:v2:')
  const found = await report([['pods/a/1', damaged]], { allowed: ['pods'] })
  t.match(found, { ok: false, unreadable: 1 })
  t.match(
    formatReport(found),
    /\nunreadable:\n {2}\/registry\/pods\/a\/1: its kms:v2 prefix lacks a provider name/,
  )
})

void test('control characters in names do not reach the terminal', async (t) => {
  const found = await report([
    ['secrets/a/\u001b[2J', PLAIN],
    ['secrets/a/2', version(1, 'tb1-\u001b[2J')],
  ])
  // oxlint-disable-next-line no-control-regex
  t.notMatch(formatReport(found), /\u001b/)
})

void test('long lists are cut and end with the number of omitted items', async (t) => {
  const entries = Array.from({ length: 30 }, (_, at) => [`secrets/a/${String(at)}`, PLAIN] as const)
  t.match(
    formatReport(await report(entries)),
    /\n {2}and 10 more\nNOT ok: of 31 objects: 30 in plaintext$/,
  )
})

const SECRETBOX = Buffer.from(`k8s:enc:secretbox:v1:key1:${'x'.repeat(40)}`)
const NOT_OPENED: Finding = {
  kind: 'unproven',
  why: 'its key is only in the EncryptionConfiguration',
}

void test('every encrypted object that was not decrypted counts, regardless of its resource', async (t) => {
  const entries: Entry[] = [
    ['secrets/a/1', version(1)],
    ['configmaps/a/1', SECRETBOX, NOT_OPENED],
    ['example.com/widgets/a/1', kmsV2Value({ provider: 'other' }), NOT_OPENED],
  ]
  for (const rules of ['', rulesFor('secrets', `${KMS}, ${IDENTITY}`)]) {
    const found = await report(entries, {
      rules,
      allowed: ['configmaps', 'widgets'],
      depth: 'objects',
    })
    t.match(found, { ok: false, unproven: 2, plain: 0 })
    t.match(formatReport(found), /not proved:\n {2}\/registry\/configmaps\/a\/1: its key/)
    t.match(formatReport(found), /\nNOT ok: of 4 objects: 2 not proved/)
  }
})

void test('a store that is not the main store of a cluster is never ok', async (t) => {
  const events = await report([['events/default/a.1', PLAIN]], { isCluster: false })
  t.match(events, { ok: false, gaps: [/namespaces\/kube-system does not exist, .* --etcd-prefix/] })
  t.match(
    formatReport(events),
    /\nNOT ok: of 1 object: \/registry\/namespaces\/kube-system does not/,
  )
  const secrets = await report([['secrets/a/1', version(1)]], {
    isCluster: false,
    resources: ['secrets'],
  })
  t.equal(secrets.ok, false, 'even if all that was asked for is encrypted')
  t.equal((await report([['secrets/a/1', version(1)]], { resources: ['secrets'] })).ok, true)
})

void test('a read without any object proves nothing, also of built-in resources', async (t) => {
  const resources = ['secrets', 'configmaps']
  const found = await report([['pods/a/1', PLAIN]], { resources })
  t.match(found, { ok: false, objects: 0, gaps: ['no object was read, so nothing is proved'] })
  t.match(formatReport(found), /\nNOT ok: of 0 objects: no object was read, so nothing is proved$/)
  const one = await report([['secrets/a/1', version(1)]], { resources })
  t.match(one, { ok: true, gaps: [] }, 'a cluster may have none of a built-in resource')
})

void test('a store without an encrypted object does not prove that data can be decrypted', async (t) => {
  for (const depth of ['seeds', 'objects'] as const) {
    const found = await report([['pods/a/1', PLAIN]], { depth })
    t.match(found, { ok: false, gaps: ['there is no encrypted object, so nothing is proved'] })
    t.match(
      formatReport(found),
      /\nNOT ok: of 2 objects: there is no encrypted object, so nothing is proved$/,
    )
    t.match(await report([['secrets/a/1', version(1)]], { depth }), { ok: true, gaps: [] })
    const none = await report([], { depth, resources: ['secrets'] })
    t.equal(none.ok, false, 'nor does a resource without one')
  }
  t.equal((await report([['pods/a/1', PLAIN]])).ok, true, 'which only a decryption needs')
})

void test('objects of a key with a colon in its name are not taken for those of another key', async (t) => {
  const key = Buffer.alloc(32).toString('base64')
  const keys = (scheme: string, ...names: string[]) =>
    `{${scheme}: {keys: [${names.map((name) => `{name: "${name}", secret: ${key}}`).join()}]}}`
  const stored = (scheme: string, bytes: number) =>
    Buffer.from(`k8s:enc:${scheme}:v1:a:b:${'x'.repeat(bytes)}`)
  for (const [scheme, bytes] of [
    ['aesgcm', 60],
    ['secretbox', 60],
  ] as const) {
    const rules = rulesFor('secrets', keys(scheme, 'a', 'a:b'))
    const found = await report([['secrets/a/1', stored(scheme, bytes)]], { rules })
    t.match(found, {
      ok: false,
      gaps: [`objects of the key ${scheme} a:b cannot be distinguished from those`],
    })
  }
  const rules = rulesFor('secrets', keys('aescbc', 'a', 'a:b'))
  const cbc = await report([['secrets/a/1', stored('aescbc', 48)]], { rules })
  t.match(cbc, { ok: false, unreadable: 1 }, 'the length of its data shows that the key is not a')
  t.match(cbc.resources.find(({ resource }) => resource === 'secrets')?.unreadableKeys, [
    { why: /or its key has a colon in its name/ },
  ])
  const alone = rulesFor('secrets', keys('aesgcm', 'c', 'c:d'))
  t.match(await report([], { rules: alone }), { ok: true }, 'nothing is encrypted with it')
})

void test('a resource that is named but not in the store is not proved', async (t) => {
  const rules = rulesFor(
    'secrets, configmaps, configmap, widgets.exmaple.com',
    KMS + ', ' + IDENTITY,
  )
  const found = await report([['secrets/a/1', version(1)]], { rules })
  t.same(
    found.gaps.map((gap) => /^\S+/.exec(gap)?.[0]),
    ['configmap', 'widgets.exmaple.com'],
    'configmaps is built-in, so no objects is a fact',
  )
  t.match(found.gaps, [/did you mean configmaps\?$/, /check the name; an aggregated API server/])
  t.match(
    await report([], { resources: ['widgets.example.com'] }),
    { ok: false, gaps: [/^widgets.example.com must be encrypted/] },
    'also by --resources',
  )
  const defined = [
    'apiextensions.k8s.io/customresourcedefinitions/widgets.example.com',
    PLAIN,
  ] as const
  const beside = [defined, ['secrets/a/1', version(1)]] as const
  const resources = ['secrets', 'widgets.example.com']
  t.match(await report(beside, { resources }), { ok: true, gaps: [] })
  const aside = rulesFor('widgets.example.com', `${IDENTITY}, ${KMS}`)
  t.equal((await report([], { rules: aside })).ok, true, 'what identity writes needs no proof')
})

void test('plaintext of an unknown layout is listed', async (t) => {
  const rules = rulesFor('routes.route.openshift.io, oauthaccesstokens.oauth.openshift.io', KMS)
  const entries: Entry[] = [
    ['routes/shop/web', PLAIN],
    ['oauth/accesstokens/sha256~x', PLAIN],
  ]
  const found = await report(entries, { rules, prefix: '/openshift.io/' })
  t.equal(found.ok, false)
  const text = found.gaps.join('\n')
  t.match(text, /routes\.route\.openshift\.io must be encrypted, but was not found/)
  t.match(text, /1 plaintext object under \/openshift\.io\/routes\/ .*no rule could be applied/)
  t.match(text, /under \/openshift\.io\/oauth\/ \(\/openshift\.io\/oauth\/accesstokens/)
  const plain = rulesFor('secrets', KMS)
  t.match(await report([['routes/a/b', PLAIN]], { rules: plain }), { gaps: [/--allow routes/] })
  t.match(await report([['routes/a/b', PLAIN]], { rules: plain, allowed: ['routes'] }), {
    gaps: [],
  })
})

void test('what no provider of the EncryptionConfiguration can read is a fault', async (t) => {
  const former = kmsV2Value({ provider: 'former' })
  const count = async (entries: Entry[], providers: string, resources = 'secrets') => {
    const { ok, withoutProvider } = await report(entries, {
      rules: rulesFor(resources, providers),
      allowed: ['configmaps'],
    })
    t.equal(ok, withoutProvider === 0)
    return withoutProvider
  }
  t.equal(await count([['secrets/a/1', former]], KMS), 1)
  t.equal(await count([['secrets/a/1', version(1)]], KMS), 0)
  t.equal(await count([['secrets/a/1', SECRETBOX]], KMS), 1)
  const key = Buffer.alloc(32, 1).toString('base64')
  const secretbox = (name: string) => `{secretbox: {keys: [{name: ${name}, secret: ${key}}]}}`
  t.equal(await count([['secrets/a/1', SECRETBOX]], `${KMS}, ${secretbox('key1')}`), 0)
  t.equal(await count([['secrets/a/1', SECRETBOX]], `${KMS}, ${secretbox('key2')}`), 1)
  t.equal(await count([['configmaps/a/1', former]], KMS), 1, 'encrypted, and no rule')
  t.equal(await count([['configmaps/a/1', PLAIN]], KMS), 0, 'no rule reads plaintext')
  t.equal(await count([['configmaps/a/1', PLAIN]], KMS, 'configmaps'), 1, 'no identity')
  t.equal(await count([['configmaps/a/1', PLAIN]], `${KMS}, ${IDENTITY}`, 'configmaps'), 0)
  t.equal((await report([['secrets/a/1', former]])).withoutProvider, undefined, 'unknown')
})

void test('a resource that was asked for must be encrypted, even without a rule', async (t) => {
  const found = await report([['secrets/a/1', PLAIN]], {
    resources: ['secrets'],
    rules: rulesFor('configmaps', KMS),
  })
  t.match(found, { ok: false, plain: 1 })
})

void test('what kube-apiserver never encrypts may be plaintext under every rule', async (t) => {
  const entries: Entry[] = [
    ['masterleases/192.0.2.1', PLAIN],
    ['peerserverleases/a', PLAIN],
    ['ranges/serviceips', PLAIN],
    ['ranges/servicenodeports', PLAIN],
  ]
  const all = rulesFor("'*.*'", `${KMS}, ${IDENTITY}`)
  const found = await report(entries, { rules: all, allowed: ['namespaces'] })
  t.match(found, { ok: true, plain: 0, withoutProvider: 0 })
  const broken = await report([['ranges/serviceips', version(1)]], {
    rules: all,
    allowed: ['namespaces'],
  })
  t.match(broken, { ok: false, withoutProvider: 1 }, 'and cannot be read encrypted')
})

void test('keys that are named like JavaScript properties are only names', async (t) => {
  const found = await report([['constructor/a', PLAIN]], { allowed: ['__proto__'] })
  t.match(formatReport(found), /constructor 1/)
})

void test('each path belongs to one resource, and vice versa', (t) => {
  const pairs = [
    ['secrets/default/a', 'secrets', 'secrets/'],
    ['services/specs/default/a', 'services', 'services/specs/'],
    ['services/endpoints/default/a', 'endpoints', 'services/endpoints/'],
    ['minions/node', 'nodes', 'minions/'],
    ['deployments/default/a', 'deployments.apps', 'deployments/'],
    ['ranges/serviceips', 'serviceipallocations', 'ranges/serviceips'],
    [
      'apiextensions.k8s.io/customresourcedefinitions/a',
      'customresourcedefinitions.apiextensions.k8s.io',
      'apiextensions.k8s.io/customresourcedefinitions/',
    ],
    ['example.com/widgets/default/a', 'widgets.example.com', 'example.com/widgets/'],
  ] as const
  for (const [path, name, folder] of pairs) {
    const resource = resourceOfPath(path)
    t.equal(`${resource.name}${resource.group === '' ? '' : `.${resource.group}`}`, name)
    t.equal(pathOfResource(resource), folder)
    t.same(parseResource(name), resource)
  }
  t.same(parseResource('deployments'), { name: 'deployments', group: 'apps' })
  for (const name of ['Secrets', 'secrets.core', 'deployment.apps', 'constructor', 'secretz'])
    t.equal(parseResource(name), undefined, name)
  t.end()
})
