import { test } from 'tap'
import { parseStoredValue } from '../../src/storage/stored-value.ts'
import { makeExpectation } from '../../src/encryption/expectation.ts'
import { parseEncryptionRules } from '../../src/encryption/rules-file.ts'
import { shallowProof, type Finding } from '../../src/verify/proof.ts'
import { formatReport } from '../../src/verify/report-text.ts'
import { makeReport, type Report } from '../../src/verify/report.ts'
import { parseResource, pathOfResource, resourceOfPath } from '../../src/kube/resource.ts'
import { Tally } from '../../src/verify/tally.ts'
import { kmsV2Value } from './envelopes.ts'

const PLAIN = Buffer.from('k8s\0x')
const SECRETS = { name: 'secrets', group: '' }

async function report(
  entries: readonly (readonly [path: string, value: Buffer, finding?: Finding])[],
  { allowed = [] as string[], rules = '' } = {},
): Promise<Report> {
  const tally = new Tally('/registry/')
  for (const [path, value, finding] of entries) {
    const object = { key: Buffer.from(`/registry/${path}`), stored: parseStoredValue(value) }
    const [found] = await shallowProof.check([object])
    tally.add(object, finding ?? found)
  }
  return makeReport({
    tally,
    expectation: makeExpectation({
      allowed: allowed.flatMap((name) => parseResource(name) ?? []),
      ...(rules === '' ? {} : { rules: parseEncryptionRules('encryption.yaml', rules) }),
    }),
    named: [SECRETS],
    source: 'etcd at http://127.0.0.1:2379',
    prefix: '/registry/',
    revisions: [42n],
    depth: 'envelopes',
  })
}

const version = (number: number, keyId = `tb1-of-version-${String(number)}`) =>
  kmsV2Value({ source: Buffer.from(`vault:v${String(number)}:QUJD`), keyId })

void test('the table has the newest version first, and what is plain last', async (t) => {
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
secrets                     1   plain protobuf                    -       -   -
widgets.example.com         1   kms v2 transit-bridge             2       1   tb1-of-version-2

not meant to be encrypted: 1 object of 1 resource (configmaps 1)
transit key versions needed by kms v2 transit-bridge: 2, 1; the oldest is 1, and older backups may need older ones
plain:
  /registry/secrets/a/2
NOT ok: of 6 objects 1 plain`,
  )
})

void test('nothing plain is ok; no Secrets at all are, too', async (t) => {
  const right = await report([['secrets/a/1', version(1)]])
  t.match(right, { ok: true, plain: 0, seeds: 1 })
  t.match(formatReport(right), /\nok: 1 object read, none plain/)
  const none = await report([['pods/a/1', PLAIN]])
  t.match(none, {
    ok: true,
    resources: [{ resource: 'pods' }, { resource: 'secrets', objects: 0 }],
  })
  t.match(formatReport(none), /\nsecrets +0 +- +-/)
})

void test('a resource of which anything is encrypted must be encrypted', async (t) => {
  const entries = [
    ['configmaps/a/1', PLAIN],
    ['configmaps/a/2', version(1)],
  ] as const
  t.match(await report(entries), { ok: false, plain: 1 })
  t.match(await report(entries, { allowed: ['configmaps'] }), { ok: true, plain: 0 })
})

void test('by an EncryptionConfiguration: rules as kube-apiserver picks them', async (t) => {
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
      ['secrets', 0, 1],
      ['widgets.example.com', 1, 0],
    ],
  )
  t.match(formatReport(found), /encrypted, but not by the provider that writes now: secrets 1\n/)
})

void test('what is damaged is named, wherever it is', async (t) => {
  const damaged = Buffer.from('k8s:enc:kms:v2:')
  const found = await report([['pods/a/1', damaged]], { allowed: ['pods'] })
  t.match(found, { ok: false, unreadable: 1 })
  t.match(formatReport(found), /\nunreadable:\n {2}\/registry\/pods\/a\/1: there is no name/)
})

void test('names from etcd cannot write over a terminal', async (t) => {
  const found = await report([
    ['secrets/a/\u001b[2J', PLAIN],
    ['secrets/a/2', version(1, 'tb1-\u001b[2J')],
  ])
  // oxlint-disable-next-line no-control-regex
  t.notMatch(formatReport(found), /\u001b/)
})

void test('long lists are cut, and say so', async (t) => {
  const entries = Array.from({ length: 30 }, (_, at) => [`secrets/a/${String(at)}`, PLAIN] as const)
  t.match(formatReport(await report(entries)), /\n {2}and 10 more\nNOT ok: of 30 objects 30 plain$/)
})

void test('paths and resources belong together', (t) => {
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
  t.equal(parseResource('Secrets'), undefined)
  t.end()
})
