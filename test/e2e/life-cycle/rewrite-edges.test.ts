// What `rewrite` must not count as done: a resource that is no longer served, and a migration that no controller continues.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { t, test } from 'tap'
import { KubeClient } from '../../../src/kube/client.ts'
import { readKubeconfig } from '../../../src/kube/kubeconfig.ts'
import { listPage } from '../../../src/kube/object-list.ts'
import { rewriteObject } from '../../../src/rewrite/object-rewriter.ts'
import { systemClock } from '../../../src/time/clock.ts'
import { run } from '../../commands/program.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { eventually } from '../../real/host/eventually.ts'
import { startApiServer, startCluster, startEtcd, usualConfig } from '../cluster.ts'
import { Operator } from '../command.ts'
import { kubeconfigOf } from '../kube-config.ts'

const { api, etcd, plugin, vault } = await startCluster(t)
await api.createSecret('default', 'one', { v: '1' })

const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases'
const MIGRATIONS = '/apis/storagemigration.k8s.io/v1/storageversionmigrations'
const DEFINITIONS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const { signal } = new AbortController()

/** As kube-controller-manager does while it is the leader. */
async function renewLease(ageSeconds: number): Promise<void> {
  const renewTime = new Date(Date.now() - ageSeconds * 1000).toISOString().replace('Z', '000Z')
  const path = `${LEASES}/kube-controller-manager`
  const found = await api.request('PATCH', path, { spec: { renewTime } })
  if (found.status !== 404) return
  await api.api('POST', LEASES, {
    metadata: { name: 'kube-controller-manager' },
    spec: { holderIdentity: 'a', renewTime },
  })
}

void test('a resource that no API server encrypts is plaintext afterwards, and that is not ok', async (t) => {
  const configMap = { metadata: { name: 'one' }, data: { v: '1' } }
  await api.api('POST', '/api/v1/namespaces/default/configmaps', configMap)
  const operator = await Operator.of({ apis: [api], plugins: [plugin], etcd })
  const configMaps = ['--resources', 'configmaps']
  const plain = await operator.run(['rewrite', ...configMaps])
  t.equal(plain.code, 1, plain.stdout + plain.stderr)
  t.match(plain.stdout, /objects read; \d+ in plaintext/)
  const env = { VAULT_TOKEN: vault.bao.rootToken }
  const rotate = ['rotate', '--finish', '--config', plugin.configFile, ...configMaps]
  const rotated = await operator.run(rotate, env)
  t.equal(rotated.code, 1, rotated.stdout + rotated.stderr)
  t.match(rotated.stderr, /must not leave behind: \d+ in plaintext/)
  const file = join(tempFolder('edges'), 'encryption.yaml')
  writeFileSync(file, usualConfig(plugin.socket))
  const unnamed = await operator.run(['rewrite', ...configMaps, '--encryption-config', file])
  t.match(unnamed, { code: 2, stderr: /no rule of \S+ covers configmaps/ })
})

void test('the etcd of another cluster proves nothing, even if it uses the same key', async (t) => {
  const other = await startEtcd(t)
  const config = usualConfig(plugin.socket)
  const theirs = await startApiServer(t, { etcd: other, encryptionConfig: config })
  await theirs.createSecret('default', 'theirs', { v: '1' })
  const operator = await Operator.of({ apis: [api], plugins: [plugin], etcd: other })
  const env = { VAULT_TOKEN: vault.bao.rootToken }
  const secrets = ['--resources', 'secrets']
  const vaultOptions = ['--config', plugin.configFile]
  for (const command of [
    ['status', ...vaultOptions],
    ['rewrite', ...secrets],
    ['rotate', '--finish', ...vaultOptions, ...secrets],
  ]) {
    const { code, stdout, stderr } = await operator.run(command, env)
    t.equal(code, 1, command.join(' ') + stdout + stderr)
    t.match(stdout + stderr, 'so this is the etcd of another cluster; check --endpoints')
  }
})

void test('encrypted namespaces cannot be compared, so Leases show which cluster an etcd is of', async (t) => {
  const other = await startEtcd(t)
  const config = usualConfig(plugin.socket).replace('- secrets', '- secrets\n      - namespaces')
  const theirs = await startApiServer(t, { etcd: other, encryptionConfig: config })
  await theirs.createSecret('default', 'theirs', { v: '1' })
  const operator = await Operator.of({ apis: [theirs], plugins: [plugin], etcd: other })
  const proved = await operator.run(['rewrite', '--resources', 'secrets,namespaces'])
  t.match(proved, {
    code: 0,
    stdout:
      /objects read; all \d[\d,]* that must be encrypted are stored as API servers write them now/,
  })
  const status = await operator.run(['status'])
  t.match(status, { code: 0, stdout: /no problems found/ })
  const wrong = await Operator.of({ apis: [api], plugins: [plugin], etcd: other })
  for (const command of [['status'], ['rewrite', '--resources', 'secrets']]) {
    const { code, stdout } = await wrong.run(command)
    t.match(stdout, 'so it is not proved that this is the etcd of the cluster', command.join(' '))
    t.equal(code, 1)
  }
})

void test('an object of a resource that is no longer served is not gone', async (t) => {
  const names = { plural: 'widgets', singular: 'widget', kind: 'Widget', listKind: 'WidgetList' }
  const schema = { openAPIV3Schema: { type: 'object' } }
  const version = { name: 'v1', served: true, storage: true, schema }
  await api.api('POST', DEFINITIONS, {
    metadata: { name: 'widgets.example.com' },
    spec: { group: 'example.com', scope: 'Namespaced', names, versions: [version] },
  })
  const objects = '/apis/example.com/v1/namespaces/default/widgets'
  const isServed = async () => (await api.request('GET', objects)).status === 200
  await eventually('the resource to be served', isServed)
  const body = { apiVersion: 'example.com/v1', kind: 'Widget', metadata: { name: 'a' } }
  await eventually(
    'an object',
    async () => (await api.request('POST', objects, body)).status === 201,
  )
  const client = new KubeClient(await readKubeconfig(kubeconfigOf(api), undefined), systemClock)
  t.teardown(() => client.close())
  const widgets = {
    resource: { name: 'widgets', group: 'example.com' },
    version: 'v1',
    isNamespaced: true,
  }
  const [widget] = (await listPage(client, widgets, undefined, signal)).objects
  const secrets = { resource: { name: 'secrets', group: '' }, version: 'v1', isNamespaced: true }
  const [secret] = (await listPage(client, secrets, undefined, signal)).objects
  if (widget === undefined || secret === undefined) throw new Error('both exist')
  const versions = [{ ...version, served: false }]
  await api.api('PATCH', `${DEFINITIONS}/widgets.example.com`, { spec: { versions } })
  await eventually('the resource not to be served', async () => !(await isServed()))
  t.not(await etcd.get('/registry/example.com/widgets/default/a'), undefined, 'it is in etcd')
  await t.rejects(rewriteObject(client, widgets, widget, signal), { code: 'KUBE_NOT_FOUND' })
  const other = { ...secret, name: 'another' }
  t.same(await rewriteObject(client, secrets, other, signal), { kind: 'gone' })
})

void test('without the right to create a migration, auto rewrites the objects itself', async (t) => {
  await renewLease(0)
  const token = await api.serviceAccountToken('kube-system', 'rewriter')
  const rbac = '/apis/rbac.authorization.k8s.io/v1'
  await api.api('POST', `${rbac}/clusterroles`, {
    metadata: { name: 'rewriter' },
    rules: [
      { apiGroups: [''], resources: ['secrets'], verbs: ['list', 'patch'] },
      { apiGroups: [''], resources: ['namespaces'], verbs: ['get'] },
      { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['get', 'list'] },
      { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list'] },
      { nonResourceURLs: ['/metrics', '/readyz/*'], verbs: ['get'] },
    ],
  })
  await api.api('POST', `${rbac}/clusterrolebindings`, {
    metadata: { name: 'rewriter' },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'rewriter' },
    subjects: [{ kind: 'ServiceAccount', namespace: 'kube-system', name: 'rewriter' }],
  })
  const access = ['--kubeconfig', kubeconfigOf(api, { token }), '--api-server', api.address]
  const command = ['rewrite', '--resources', 'secrets', ...access, '--endpoints', etcd.address]
  const { code, stdout, stderr } = await run(command, { env: { HOME: t.testdir() } })
  t.equal(code, 0, stdout + stderr)
  t.match(stdout, /^secrets: 1 already current/)

  // These rights are also enough for an object that another client changes meanwhile.
  const kubeconfig = await readKubeconfig(kubeconfigOf(api, { token }), undefined)
  const client = new KubeClient(kubeconfig, systemClock)
  t.teardown(() => client.close())
  const secrets = { resource: { name: 'secrets', group: '' }, version: 'v1', isNamespaced: true }
  const [seen] = (await listPage(client, secrets, undefined, signal)).objects
  if (seen === undefined) throw new Error('it exists')
  const path = `/api/v1/namespaces/${seen.namespace}/secrets/${seen.name}`
  await api.api('PATCH', path, { data: { v: 'Mg==' } })
  t.same(await rewriteObject(client, secrets, seen, signal), { kind: 'current' })
  const replaced = { ...seen, uid: '00000000-0000-0000-0000-000000000000' }
  t.same(await rewriteObject(client, secrets, replaced, signal), { kind: 'gone' })
})

void test('a migration that runs and that no controller continues ends with an error', async (t) => {
  await renewLease(0)
  const operator = await Operator.of({ apis: [api], etcd })
  const program = operator.start(['rewrite', '--resources', 'secrets', '--method', 'migration'])
  const [name] = await eventually('a migration', async () => {
    const { items } = await api.api('GET', MIGRATIONS)
    const names = items.map((each: { metadata: { name: string } }) => each.metadata.name)
    return names.length > 0 && names
  })
  const conditions = [
    {
      type: 'Running',
      status: 'True',
      reason: 'Test',
      message: '',
      lastTransitionTime: new Date().toISOString(),
    },
  ]
  await api.api('PATCH', `${MIGRATIONS}/${name}/status`, {
    status: { conditions, resourceVersion: '1' },
  })
  await renewLease(300)
  const { code } = await program.ended()
  t.equal(code, 1, program.output())
  t.match(program.output(), 'kube-controller-manager is no longer active')
  t.equal((await api.request('GET', `${MIGRATIONS}/${name}`)).status, 404, 'it was removed')
})
