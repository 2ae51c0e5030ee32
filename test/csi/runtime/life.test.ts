import { existsSync } from 'node:fs'
import { connect } from 'node:net'
import { after, end, test } from 'tap'

import { TcpProxy } from '../../real/faults/tcp-proxy.ts'
import { eventually } from '../../real/host/eventually.ts'
import { failure, podRequests } from '../fixture.ts'
import { newPod, PodVault, ROLE } from '../pod-vault.ts'
import { RUNTIME_POLICY, startRuntime, type PodSocket } from './fixture.ts'

const vault = await PodVault.start()
after(() => vault.stop())
await vault.enableRole(ROLE, RUNTIME_POLICY)

const hash = async (socket: PodSocket) =>
  (await socket.ask('transit/hash', { body: { input: 'YQ==' } })).status

void test('a pod that is deleted while its calls run: they end, and nothing is left behind', async (t) => {
  const proxy = await TcpProxy.start(vault.bao.address)
  t.teardown(() => proxy.stop())
  const runtime = await startRuntime(vault, { address: proxy.address })
  t.teardown(() => runtime.stop())
  const pod = newPod()
  const socket = await runtime.kubelet.publish(pod)
  t.equal(await hash(socket), 200)
  await proxy.hang()
  const calls = Promise.allSettled([hash(socket), hash(socket)])
  await eventually('the calls to reach Vault', () => runtime.runtime.requestsInFlight === 2)
  await runtime.kubelet.unpublish(pod)
  for (const call of await calls) t.equal(call.status, 'rejected')
  t.notOk(existsSync(runtime.kubelet.targetOf(pod)))
  t.equal(runtime.runtime.volumes.size, 0)
})

void test('idle pods cost Vault one login each, and nothing more', async (t) => {
  const runtime = await startRuntime(vault)
  t.teardown(() => runtime.stop())
  const pods = Array.from({ length: 100 }, (_, index) => newPod({ name: `idle-${String(index)}` }))
  const since = vault.bao.auditMark()
  for (const pod of pods) await runtime.kubelet.publish(pod)
  const logins = vault.bao.auditRequests({ since, path: 'auth/jwt/login' })
  t.equal(logins.length, pods.length)
  t.same(
    podRequests(vault, since).filter((request) => !request.endsWith('auth/jwt/login')),
    [],
  )
  const later = vault.bao.auditMark()
  for (const pod of pods.slice(0, 10)) {
    // The kubelet sends the same token until 80 % of its lifetime have passed.
    const tokens = await vault.tokens(pod)
    const same = { attributes: { 'csi.storage.k8s.io/serviceAccount.tokens': tokens } }
    await runtime.kubelet.publish(pod, same)
    await runtime.kubelet.publish(pod, same)
  }
  t.same(podRequests(vault, later), [], 'a republish sends no request')
})

void test('a role that is removed ends what a pod can do, and it works again when the role is back', async (t) => {
  await vault.enableRole('passing', RUNTIME_POLICY)
  const runtime = await startRuntime(vault)
  t.teardown(() => runtime.stop())
  const pod = newPod()
  const attributes = { role: 'passing' }
  const socket = await runtime.kubelet.publish(pod, { attributes })
  t.equal(await hash(socket), 200)
  await vault.bao.api('DELETE', 'auth/jwt/role/passing')
  t.equal(await hash(socket), 200, 'until the Vault token ends')
  await runtime.kubelet.publish(pod, { attributes })
  t.equal(await hash(socket), 403, 'with a new token of the pod, which needs a login')
  t.match(await failure(runtime.kubelet.publish(newPod(), { attributes })), {
    code: 'PERMISSION_DENIED',
  })
  await vault.enableRole('passing', RUNTIME_POLICY)
  await runtime.kubelet.publish(pod, { attributes })
  t.equal(await hash(socket), 200)
})

void test('after a policy is removed, requests return 403 and say that a policy is missing', async (t) => {
  await vault.enableRole('shrinking', RUNTIME_POLICY)
  const runtime = await startRuntime(vault)
  t.teardown(() => runtime.stop())
  const socket = await runtime.kubelet.publish(newPod(), { attributes: { role: 'shrinking' } })
  t.equal(await hash(socket), 200)
  await vault.bao.api('DELETE', 'sys/policies/acl/shrinking')
  const denied = await socket.ask('transit/hash', { body: { input: 'YQ==' } })
  t.equal(denied.status, 403)
  t.match(denied.json.errors, [
    /^permission denied: csi\.rules allow this, but the policies of the pod's Vault role do not/,
  ])
})

void test('a second driver for the same sockets is refused, and the first one continues', async (t) => {
  const first = await startRuntime(vault)
  t.teardown(() => first.stop())
  const socket = await first.kubelet.publish(newPod())
  const error = await failure(startRuntime(vault, { folder: first.folder }))
  t.equal(error.code, 'SOCKET_IN_USE')
  t.equal(await hash(socket), 200)
})

void test('a client that disconnects cancels its request, which does not count as an outage of Vault', async (t) => {
  const proxy = await TcpProxy.start(vault.bao.address)
  t.teardown(() => proxy.stop())
  const runtime = await startRuntime(vault, { address: proxy.address })
  t.teardown(() => runtime.stop())
  const socket = await runtime.kubelet.publish(newPod())
  await proxy.hang()
  const client = connect(socket.path)
  client.write('POST /v1/transit/hash HTTP/1.1\r\nHost: v\r\nContent-Length: 2\r\n\r\n{}')
  await eventually('the request to reach Vault', () => runtime.runtime.requestsInFlight === 1)
  client.destroy()
  const counted = async () => {
    const text = await runtime.metrics.registry.metrics()
    return /runtime_request_duration_seconds_count\{operation="hash",code="499"\} 1/.test(text)
  }
  await eventually('the request to end', counted)
  t.pass('the driver does not wait for Vault')
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
