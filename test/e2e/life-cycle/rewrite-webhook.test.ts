// `rewrite` and `rotate` with an admission webhook that is gone, against the real kube-apiserver: it answers 500 to every update.
import { test } from 'tap'
import { eventually } from '../../real/host/eventually.ts'
import { startCluster } from '../cluster.ts'
import { Operator } from '../command.ts'

const WEBHOOKS = '/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations'

const GONE = {
  metadata: { name: 'gone' },
  webhooks: [
    {
      name: 'gone.example.com',
      clientConfig: { url: 'https://127.0.0.1:1/' },
      failurePolicy: 'Fail',
      sideEffects: 'None',
      admissionReviewVersions: ['v1'],
      namespaceSelector: { matchLabels: { guarded: 'yes' } },
      rules: [
        { apiGroups: [''], apiVersions: ['v1'], operations: ['UPDATE'], resources: ['secrets'] },
      ],
    },
  ],
}

void test('objects whose admission webhook is gone are reported, and the others are rewritten', async (t) => {
  const { api, etcd, plugin, vault } = await startCluster(t)
  const namespace = { metadata: { name: 'guarded', labels: { guarded: 'yes' } } }
  await api.api('POST', '/api/v1/namespaces', namespace)
  await api.api('POST', '/api/v1/namespaces', { metadata: { name: 'zone' } })
  await api.createSecret('guarded', 'one', { v: '1' })
  for (const name of ['a', 'b', 'c']) await api.createSecret('zone', name, { v: '1' })
  await api.api('POST', WEBHOOKS, GONE)
  const guarded = '/api/v1/namespaces/guarded/secrets/one'
  await eventually(
    'the webhook to apply',
    async () => (await api.request('PATCH', `${guarded}?dryRun=All`, {})).status === 500,
  )
  const operator = await Operator.of({ apis: [api], plugins: [plugin], etcd })
  const env = { VAULT_TOKEN: vault.bao.rootToken }
  const secrets = ['--resources', 'secrets', '--configs-may-differ']
  const rotate = ['rotate', '--config', plugin.configFile, ...secrets]
  const reported =
    /secrets guarded\/one: not rewritten: .*500 for PATCH .*failed calling webhook "gone.example.com".*repair it or remove its configuration/

  const stuck = await operator.run(rotate, env)
  t.equal(stuck.code, 1, stuck.stdout + stuck.stderr)
  t.match(stuck.stderr, reported)
  t.match(stuck.stderr, /secrets: 3 rewritten, 1 refused by the API server/)
  t.match(stuck.stderr, 'fix what is reported above')

  const again = await operator.run(['rewrite', ...secrets, '--patience', '1s'])
  t.equal(again.code, 1, again.stdout + again.stderr)
  t.match(again.stdout, reported)
  t.match(again.stdout, /secrets: 3 already current, 1 refused by the API server/)

  await api.api('DELETE', `${WEBHOOKS}/gone`)
  await eventually(
    'the webhook not to apply',
    async () => (await api.request('PATCH', `${guarded}?dryRun=All`, {})).status === 200,
  )
  const { code, stdout, stderr } = await operator.run(rotate, env)
  t.equal(code, 0, stdout + stderr)
  t.match(stderr, /secrets: 1 rewritten, 3 already current/)
  t.match(stdout, 'etcd needs version 2 and newer')
})
