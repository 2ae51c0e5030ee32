import { createServer } from 'node:https'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AddressInfo } from 'node:net'
import { test } from 'tap'

import { BridgeError } from '../../src/errors.ts'
import { systemClock } from '../../src/time/clock.ts'
import { KubeClient, type KubeAnswer, type KubeRequest } from '../../src/kube/client.ts'
import { requirePodAccess } from '../../src/kube/in-cluster.ts'
import { retireInstallers } from '../../src/node/install/retirement.ts'
import { CertificateAuthority } from '../real/host/pki.ts'

type State = {
  generation: number
  args: string[]
  observed: number
  updated: number
  ready: number
}

/** An API server with one DaemonSet on two nodes, whose controller takes one step at each request. */
function fakeCluster(steps: Partial<State>[], name = 'installer') {
  const state = { generation: 1, args: ['install-node'], observed: 1, updated: 2, ready: 2 }
  const patches: unknown[] = []
  const answer = (): KubeAnswer => ({
    status: 200,
    body: {
      metadata: { generation: state.generation },
      spec: { template: { spec: { containers: [{ name, args: state.args }] } } },
      status: {
        observedGeneration: state.observed,
        desiredNumberScheduled: 2,
        updatedNumberScheduled: state.updated,
        numberAvailable: state.ready,
      },
    },
  })
  return {
    patches,
    api: {
      server: 'https://api',
      send: async ({ method, path, body: patch }: KubeRequest) => {
        if (!path.endsWith('/namespaces/ns/daemonsets/ds')) return { status: 404, body: {} }
        if (method === 'PATCH') {
          patches.push(patch)
          Object.assign(state, { generation: 2, args: ['install-node', '--remove'] })
        } else Object.assign(state, steps.shift())
        return answer()
      },
    },
  }
}

const common = { namespace: 'ns', name: 'ds', timeoutMs: 10_000, clock: systemClock }

void test('installers become removers, and the call waits for every node', async (t) => {
  const { api, patches } = fakeCluster([
    {},
    {},
    { observed: 2, updated: 1, ready: 2 },
    { updated: 2, ready: 1 },
    { ready: 2 },
  ])
  t.equal(await retireInstallers({ api, ...common }), 2)
  t.match(patches, [
    [
      { op: 'add', path: '/spec/template/spec/containers/0/args/-', value: '--remove' },
      { path: '/spec/minReadySeconds', value: 0 },
      { path: '/spec/updateStrategy' },
    ],
  ])
})

void test('a second attempt continues where the first one ended', async (t) => {
  const { api, patches } = fakeCluster([{ args: ['install-node', '--remove'] }])
  t.equal(await retireInstallers({ api, ...common }), 2)
  t.same(patches, [])
})

void test('an API server that cannot answer now is asked again, and is not told twice to remove', async (t) => {
  const { api, patches } = fakeCluster([{}, {}, { observed: 2 }])
  const busy = { status: 500, body: { message: 'the KMS plugin is unavailable' } }
  const lost = new BridgeError('KUBE_UNREACHABLE', 'the API server closed the connection')
  let requests = 0
  const send = async (request: KubeRequest): Promise<KubeAnswer> => {
    requests += 1
    if (requests === 1) return busy
    const answer = await api.send(request)
    // The change was made, but its answer is lost.
    if (request.method === 'PATCH') throw lost
    return answer
  }
  t.equal(await retireInstallers({ api: { ...api, send }, ...common }), 2)
  t.equal(patches.length, 1)
  await t.rejects(
    retireInstallers({ api: { ...api, send: async () => busy }, ...common, timeoutMs: 0 }),
    { code: 'HOST_FAILED', message: /returns 500 for GET .*: the KMS plugin is unavailable/ },
  )
  const denied = { status: 403, body: { message: 'daemonsets.apps "ds" is forbidden' } }
  await t.rejects(retireInstallers({ api: { ...api, send: async () => denied }, ...common }), {
    code: 'KUBE_DENIED',
    message: /denies GET .*: daemonsets.apps "ds" is forbidden/,
  })
})

void test('errors report the progress, and what was not found', async (t) => {
  const unfinished = fakeCluster([])
  await t.rejects(retireInstallers({ api: unfinished.api, ...common, timeoutMs: 0 }), {
    code: 'HOST_FAILED',
    message:
      'DaemonSet ns/ds: the plugin is removed from at most 0 of 2 nodes; check the pods that are not ready, and run the removal again: it continues',
  })
  const partly = fakeCluster([{ args: ['--remove'], updated: 1 }])
  await t.rejects(retireInstallers({ api: partly.api, ...common, timeoutMs: 0 }), {
    message: /removed from at most 1 of 2 nodes/,
  })
  await t.rejects(retireInstallers({ api: unfinished.api, ...common, name: 'other' }), {
    message: /^DaemonSet ns\/other does not exist, so nothing removes .*; remove it from each node/,
  })
  const foreign = fakeCluster([], 'something')
  await t.rejects(retireInstallers({ api: foreign.api, ...common }), { message: /no container/ })
})

void test('the API server is found and trusted as in any pod', async (t) => {
  const authority = await CertificateAuthority.create('test')
  const { keyFile, certFile } = await authority.server('kubernetes')
  const seen: unknown[] = []
  const server = createServer(
    { key: readFileSync(keyFile), cert: readFileSync(certFile) },
    (request, response) => {
      response.setHeader('content-type', 'application/json')
      seen.push([request.method, request.headers.authorization, request.headers['content-type']])
      request.resume().on('end', () => response.end('{"kind":"DaemonSet"}'))
    },
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const port = String((server.address() as AddressInfo).port)
  const folder = t.testdir({ token: 'the-token\n' })
  writeFileSync(join(folder, 'ca.crt'), readFileSync(authority.caFile))
  const environment = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: port }
  const connect = (port_: string) =>
    new KubeClient(
      requirePodAccess({ ...environment, KUBERNETES_SERVICE_PORT: port_ }, folder),
      systemClock,
    )
  const api = connect(port)
  t.match(await api.send({ method: 'GET', path: '/x' }), {
    status: 200,
    body: { kind: 'DaemonSet' },
  })
  await t.rejects(
    retireInstallers({ api, ...common }),
    { code: 'HOST_FAILED' },
    'with the credentials of the pod',
  )
  await api.send({
    method: 'PATCH',
    path: '/x',
    body: [{ op: 'add' }],
    contentType: 'application/json-patch+json',
  })
  t.same(seen, [
    ['GET', 'Bearer the-token', undefined],
    ['GET', 'Bearer the-token', undefined],
    ['PATCH', 'Bearer the-token', 'application/json-patch+json'],
  ])
  api.close()
  const gone = connect('1')
  await t.rejects(gone.send({ method: 'GET', path: '/x' }), { code: 'KUBE_UNREACHABLE' })
  gone.close()
  t.throws(() => requirePodAccess({}), { code: 'HOST_FAILED', message: /KUBERNETES_SERVICE_HOST/ })
  t.throws(() => requirePodAccess(environment, '/nowhere'), {
    message: /mount the service-account token/,
  })
})
