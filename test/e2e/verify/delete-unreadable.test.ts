// An object that cannot be read makes every list of its resource fail; verify prints the command that deletes it.
import { execFile } from 'node:child_process'
import { dirname } from 'node:path'
import { promisify } from 'node:util'
import { test } from 'tap'
import { obtain } from '../../real/host/parts.ts'
import { runVerify } from '../../verify/run-verify.ts'
import { startCluster } from '../cluster.ts'
import { kubeconfigOf } from '../kube-config.ts'

void test('the printed command deletes an unreadable object, and nothing else', async (t) => {
  const { api, etcd } = await startCluster(t)
  await api.createSecret('default', 'good', { v: '1' })
  const whole = await etcd.get('/registry/secrets/default/good')
  if (whole === undefined) throw new Error('it was created')
  const key = '/registry/secrets/default/damaged'
  await etcd.put(key, whole.subarray(0, 60))
  const list = '/api/v1/namespaces/default/secrets'
  t.equal((await api.request('GET', list)).status, 500)
  const before = await runVerify('--endpoints', etcd.address)
  t.match(before.stdout, /unreadable:\n +\/registry\/secrets\/default\/damaged: /)
  const [, command = ''] = /^ +(echo .*kubectl delete .*)$/m.exec(before.stdout) ?? []
  const bin = dirname(await obtain('kubectl'))
  const env = { PATH: `${bin}:/usr/bin:/bin`, KUBECONFIG: kubeconfigOf(api), HOME: t.testdir() }
  await promisify(execFile)('sh', ['-c', command], { env })
  t.equal(await etcd.get(key), undefined)
  t.match(await api.getSecret('default', 'good'), { v: '1' })
  t.equal((await api.request('GET', list)).status, 200)
  t.equal((await runVerify('--endpoints', etcd.address)).code, 0)
})
