import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'

import { systemClock } from '../../../src/time/clock.ts'
import { KubeClient } from '../../../src/kube/client.ts'
import { readKubeconfig } from '../../../src/kube/kubeconfig.ts'
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
