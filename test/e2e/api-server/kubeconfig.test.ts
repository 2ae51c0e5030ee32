// What a kubeconfig asks for reaches a real kube-apiserver: whom to act as, and the name of the server.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { stringify } from 'yaml'

import { KubeClient } from '../../../src/kube/client.ts'
import { readKubeconfig } from '../../../src/kube/kubeconfig.ts'
import { systemClock } from '../../../src/time/clock.ts'
import { Etcd } from '../../real/cluster/etcd.ts'
import { KubeApiServer } from '../../real/cluster/kube-api-server.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'

async function connect(api: KubeApiServer, cluster: object, user: object): Promise<KubeClient> {
  const file = join(tempFolder('kubeconfig'), 'config')
  const text = stringify({
    'current-context': 'test',
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
    clusters: [
      {
        name: 'test',
        cluster: { server: api.address, 'certificate-authority': api.caFile, ...cluster },
      },
    ],
    users: [{ name: 'admin', user: { token: api.adminToken, ...user } }],
  })
  writeFileSync(file, text, { mode: 0o600 })
  return new KubeClient(await readKubeconfig(file), systemClock)
}

const REVIEW = { apiVersion: 'authentication.k8s.io/v1', kind: 'SelfSubjectReview' }

async function whoAmI(client: KubeClient): Promise<unknown> {
  const path = '/apis/authentication.k8s.io/v1/selfsubjectreviews'
  const answer = await client.read({ method: 'POST', path, body: REVIEW })
  return (answer as { status: { userInfo: unknown } }).status.userInfo
}

void test('the API server sees the user in as, and the server name', async (t) => {
  const etcd = await Etcd.start()
  const names = await CertificateAuthority.create('names')
  const named = await names.server('api.internal', { names: ['api.internal'] })
  const api = await KubeApiServer.start({
    etcd,
    extraArgs: [`--tls-sni-cert-key=${named.certFile},${named.keyFile}:api.internal`],
  })
  t.teardown(async () => {
    await api.stop()
    await etcd.stop()
  })

  const admin = await connect(api, {}, {})
  t.match(await whoAmI(admin), { groups: ['system:masters', 'system:authenticated'] })

  const acting = await connect(
    api,
    {},
    {
      as: 'jane',
      'as-uid': '42',
      'as-groups': ['writers', 'lecteurs-é'],
      'as-user-extra': { 'example.com/scope': ['a', 'b'] },
    },
  )
  t.match(await whoAmI(acting), {
    username: 'jane',
    uid: '42',
    groups: ['writers', 'lecteurs-é', 'system:authenticated'],
    extra: { 'example.com/scope': ['a', 'b'] },
  })

  const anonymous = await connect(api, {}, { as: 'system:anonymous' })
  await t.rejects(anonymous.get('/api/v1/secrets'), {
    code: 'KUBE_DENIED',
    message: /system:anonymous/,
  })

  const byName = await connect(
    api,
    { 'certificate-authority': names.caFile, 'tls-server-name': 'api.internal' },
    {},
  )
  t.match(await whoAmI(byName), { groups: ['system:masters', 'system:authenticated'] })
  const wrongName = await connect(api, { 'tls-server-name': 'other.internal' }, {})
  await t.rejects(whoAmI(wrongName), { message: /certificate for other names/ })
  for (const client of [admin, acting, anonymous, byName, wrongName]) client.close()
})
