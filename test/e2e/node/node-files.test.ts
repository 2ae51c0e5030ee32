import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'

import { systemClock } from '../../../src/time/clock.ts'
import { KubeClient } from '../../../src/kube/client.ts'
import { readKubeconfig } from '../../../src/kube/kubeconfig.ts'
import { GOOD } from '../../encryption/faulty-configs.ts'
import { VALID } from '../../config/valid-config.ts'
import { Etcd } from '../../real/cluster/etcd.ts'
import { KubeApiServer } from '../../real/cluster/kube-api-server.ts'
import { runHere, SetupFixture } from '../../setup/fixture.ts'

void test('a real API server', async (t) => {
  const etcd = await Etcd.start()
  const server = await KubeApiServer.start({ etcd })
  t.teardown(async () => {
    await server.stop()
    await etcd.stop()
  })
  await server.createServiceAccount('kube-system', 'transit-bridge-kms')

  const manifest = async (shape: string) => {
    const config = join(t.testdir({ 'config.yaml': VALID }), 'config.yaml')
    const { stdout } = await runHere(['config', 'node', '--shape', shape, '--config', config])
    return parse(stdout) as object
  }
  const strictly = '?dryRun=All&fieldValidation=Strict'

  await t.test('takes the static pod, with every field known', async (t) => {
    const path = `/api/v1/namespaces/kube-system/pods${strictly}`
    const { status, body } = await server.request('POST', path, await manifest('static-pod'))
    t.equal(status, 201, JSON.stringify(body))
  })

  await t.test('takes the daemonset, with every field known', async (t) => {
    const path = `/apis/apps/v1/namespaces/kube-system/daemonsets${strictly}`
    const { status, body } = await server.request('POST', path, await manifest('daemonset'))
    t.equal(status, 201, JSON.stringify(body))
  })

  await t.test('says which custom resources of an EncryptionConfiguration exist', async (t) => {
    const names = { plural: 'widgets', singular: 'widget', kind: 'Widget', listKind: 'WidgetList' }
    const schema = { openAPIV3Schema: { type: 'object' } }
    const group = 'team.example.com'
    await server.api('POST', '/apis/apiextensions.k8s.io/v1/customresourcedefinitions', {
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      metadata: { name: `widgets.${group}` },
      spec: {
        group,
        names,
        scope: 'Namespaced',
        versions: [{ name: 'v1', served: true, storage: true, schema }],
      },
    })
    await server.api('POST', '/apis/apiregistration.k8s.io/v1/apiservices', {
      apiVersion: 'apiregistration.k8s.io/v1',
      kind: 'APIService',
      metadata: { name: 'v1.far.example.com' },
      spec: {
        group: 'far.example.com',
        version: 'v1',
        groupPriorityMinimum: 1000,
        versionPriority: 15,
        insecureSkipTLSVerify: true,
        service: { namespace: 'default', name: 'far' },
      },
    })
    const resources = ['widgets', 'wigets'].map((name) => `${name}.${group}`)
    const all = ['secrets', ...resources, 'things.far.example.com', '*.none.example.com']
    const rows = all.map((name) => `      - ${JSON.stringify(name)}`).join('\n')
    const folder = t.testdir({
      'ec.yaml': GOOD.replace('      - secrets', rows),
      'admin.conf': kubeconfigFor(server),
    })
    const args = ['--check', join(folder, 'ec.yaml'), '--kubeconfig', join(folder, 'admin.conf')]
    await server.waitUntil('the custom resource being served', async () => {
      const { status } = await server.request('GET', `/apis/${group}/v1/widgets`)
      return status === 200
    })
    const { code, stdout } = await runHere(['config', 'encryption', ...args])
    t.equal(code, 1)
    t.match(stdout, /unsafe .*resources\[2\]: is not a resource that the API server serves/)
    t.match(stdout, /unsafe .*resources\[3\]: is a resource of an aggregated API server/)
    t.match(stdout, /unsafe .*resources\[4\]: is not a group that the API server serves/)
    t.notMatch(stdout, /resources\[[01]\]: |cannot determine/)
  })

  await t.test('provides its keys and issuer to setup, and its tokens then log in', async (t) => {
    const fixture = await SetupFixture.start(t)
    const kubeconfig = fixture.write('admin.conf', kubeconfigFor(server))
    const { code, stderr } = await fixture.bare(['--kubeconfig', kubeconfig, '--yes'])
    t.equal(code, 0, stderr)
    const jwt = await server.serviceAccountToken('kube-system', 'transit-bridge-kms', {
      audience: 'vault',
    })
    const login = { role: 'transit-bridge-kms', jwt }
    t.match(await fixture.bao.request('POST', 'auth/jwt/login', login), { status: 200 })
    const { stdout } = await fixture.bare(['--kubeconfig', kubeconfig, '--yes'])
    t.equal(stdout, 'nothing to change\n')
    const client = new KubeClient(await readKubeconfig(kubeconfig), systemClock)
    const accept = 'application/jwk-set+json'
    const answer = await client.read({ method: 'GET', path: '/openid/v1/jwks', accept })
    client.close()
    const jwks = fixture.write('jwks.json', JSON.stringify(answer))
    const files = ['--jwks', jwks, '--issuer', server.issuer]
    t.match(await fixture.bare([...files, '--yes']), { code: 0, stdout: 'nothing to change\n' })
  })
})

function kubeconfigFor({ address, caFile, adminToken }: KubeApiServer): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'a',
    contexts: [{ name: 'a', context: { cluster: 'a', user: 'a' } }],
    clusters: [{ name: 'a', cluster: { server: address, 'certificate-authority': caFile } }],
    users: [{ name: 'a', user: { token: adminToken } }],
  })
}
