import { readFile } from 'node:fs/promises'
import { test } from 'tap'
import { CsiDriver } from '../../real/cluster/csi-driver.ts'
import { whyNoMounts } from '../../real/host/mount-namespace.ts'
import { enableKubernetesLogin, makeKey } from '../../real/vault/transit-setup.ts'
import { csiConfiguration, startCsiStack, startProvider } from './csi-stack.ts'

void test('whose volume it is', { skip: whyNoMounts() }, async (t) => {
  const { cluster, driver, vault, proxy } = await startCsiStack(t)
  const { api } = cluster
  const { bao } = vault
  await makeKey(bao, 'app-data')
  const ciphertext = await vault.encrypt('app-data', 'of the shop alone')
  const password = { path: 'password', type: 'decrypt', key: 'app-data', ciphertext }
  await cluster.writeClass({ name: 'web', objects: [password] })

  await t.test('a class of another namespace cannot be used', async (t) => {
    const pod = await cluster.createPod({ name: 'thief', namespace: 'other', classes: 'web' })
    const since = bao.auditMark()
    await t.rejects(cluster.publish(pod, 'web'), { message: /secretproviderclass other\/web/ })
    // The same class, copied: the rules are for namespace shop.
    await cluster.writeClass({ name: 'web', namespace: 'other', objects: [password] })
    await t.rejects(cluster.publish(pod, 'web'), {
      code: 'PERMISSION_DENIED',
      message: /no rule.*other/,
    })
    t.same(bao.auditRequests({ since }), [], 'Vault was not asked')
    t.equal(driver.volume(pod, 'web').type, undefined)
  })

  await t.test('a service account that Vault does not know as this role is refused', async (t) => {
    await vault.writeRole({ role: 'web', subjects: ['system:serviceaccount:shop:cashier'] })
    const waiter = await cluster.createPod({ name: 'waiter', classes: 'web' })
    await t.rejects(cluster.publish(waiter, 'web'), {
      code: 'PERMISSION_DENIED',
      message: /role.*web/,
    })
    t.equal(driver.volume(waiter, 'web').type, undefined)
    const cashier = await cluster.createPod({ name: 'cashier', classes: 'web' })
    t.equal((await cluster.publish(cashier, 'web')).text('password'), 'of the shop alone')
    await vault.writeRole({ role: 'web', subjects: ['system:serviceaccount:shop:*'] })
    // A refused login is not tried again at once with the same token.
    const startedAt = performance.now()
    await driver.waitUntil('another login of the same token', async () => {
      const volume = await cluster.publish(waiter, 'web')
      return volume.text('password') === 'of the shop alone'
    })
    t.comment(`allowed after ${Math.round(performance.now() - startedAt)} ms`)
  })

  await t.test('a key that the role may not use is refused with a reason', async (t) => {
    await vault.writeRole({ role: 'web', subjects: ['system:serviceaccount:shop:*'], policies: [] })
    const pod = await cluster.createPod({ name: 'poor', classes: 'web' })
    await t.rejects(cluster.publish(pod, 'web'), {
      code: 'PERMISSION_DENIED',
      message: /objects\[0\] \(password\).*app-data/,
    })
    await vault.writeRole({ role: 'web', subjects: ['system:serviceaccount:shop:*'] })
    t.equal((await newlyPublished(pod)).text('password'), 'of the shop alone')
  })

  await t.test(
    "another pod's or another account's token is refused before Vault sees it",
    async (t) => {
      const one = await cluster.createPod({ name: 'one', serviceAccount: 'same', classes: 'web' })
      const two = await cluster.createPod({ name: 'two', serviceAccount: 'same', classes: 'web' })
      const three = await cluster.createPod({ name: 'three', classes: 'web' })
      const since = bao.auditMark()
      for (const [taken, words] of [
        [await cluster.tokens(one), /bound to another pod/],
        [await cluster.tokens(three), /system:serviceaccount:shop:three/],
      ] as const) {
        const publication = { class: 'web', tokens: taken }
        const rejected = { code: 'UNAUTHENTICATED', message: words }
        await t.rejects(cluster.publish(two, publication), rejected)
      }
      t.same(bao.auditRequests({ since }), [])
      t.equal((await cluster.publish(two, 'web')).text('password'), 'of the shop alone')
    },
  )

  await t.test('a token for another audience, or none, names the audience', async (t) => {
    const pod = await cluster.createPod({ name: 'deaf', classes: 'web' })
    const tokens = await cluster.tokens(pod, 'https://other.example')
    const rejected = { code: 'UNAUTHENTICATED', message: /audience "?vault"?.*tokenRequests/ }
    await t.rejects(cluster.publish(pod, { class: 'web', tokens }), rejected)
    await t.rejects(driver.publish(pod, { class: 'web' }), rejected)
    // Listed under our audience but issued for another: Vault decides, and the message explains its refusal.
    const [token] = Object.values(tokens)
    if (token === undefined) throw new Error('no token')
    const disguised = { class: 'web', tokens: { vault: token } }
    await t.rejects(cluster.publish(pod, disguised), {
      code: 'PERMISSION_DENIED',
      message: /audience "https:\/\/other\.example", but csi\.audience is "vault"/,
    })
  })

  await t.test('a separate audience, in a namespace of Vault', async (t) => {
    await vault.createNamespace('team-a')
    await bao.api('POST', 'transit/keys/app-data', {}, { namespace: 'team-a' })
    const audience = 'https://vault.example'
    const namespace = 'team-a'
    await vault.writeRole(
      { role: 'web', subjects: ['system:serviceaccount:shop:*'], audience },
      namespace,
    )
    const inside = await vault.encrypt('app-data', 'of the team', { namespace })
    await cluster.writeClass({ name: 'team', objects: [{ ...password, ciphertext: inside }] })
    const other = await CsiDriver.start({ api, nodeId: 'node-team' })
    t.teardown(() => other.stop())
    const configuration = csiConfiguration(proxy.address, { audience })
    configuration.vault['namespace'] = namespace
    await startProvider(t, other, configuration)
    const pod = await cluster.createPod({ name: 'member', classes: 'team' })
    const since = bao.auditMark()
    const tokens = await cluster.tokens(pod, audience)
    const volume = await other.publish(pod, { class: 'team', tokens })
    t.equal(volume.text('password'), 'of the team')
    t.ok(bao.auditRequests({ since }).every((request) => request.namespace === 'team-a/'))
  })

  await t.test('method kubernetes: Vault asks this API server about the token', async (t) => {
    const reviewer = await reviewerToken()
    await enableKubernetesLogin(bao, {
      host: api.address,
      caPem: await readFile(api.caFile, 'utf8'),
      reviewerToken: reviewer,
      role: 'web',
      namespaces: ['shop'],
      serviceAccounts: ['seller'],
      audience: 'vault',
      policies: ['csi', 'more-keys'],
    })
    const other = await CsiDriver.start({ api, nodeId: 'node-kubernetes' })
    t.teardown(() => other.stop())
    const auth = { method: 'kubernetes' }
    await startProvider(t, other, csiConfiguration(proxy.address, { auth }))
    const seller = await cluster.createPod({ name: 'seller', classes: 'web' })
    const since = bao.auditMark()
    const volume = await other.publish(seller, {
      class: 'web',
      tokens: await cluster.tokens(seller),
    })
    t.equal(volume.text('password'), 'of the shop alone')
    t.equal(bao.auditRequests({ since, path: 'auth/kubernetes/login' }).length, 1)
    const buyer = await cluster.createPod({ name: 'buyer', classes: 'web' })
    const publication = { class: 'web', tokens: await cluster.tokens(buyer) }
    await t.rejects(other.publish(buyer, publication), { code: 'PERMISSION_DENIED' })

    // A token that is bound to a pod ends with it: the API server reports that, and Vault refuses the token.
    const gone = await cluster.createPod({ name: 'gone', serviceAccount: 'seller', classes: 'web' })
    const last = { class: 'web', tokens: await cluster.tokens(gone) }
    await api.api('DELETE', '/api/v1/namespaces/shop/pods/gone', { gracePeriodSeconds: 0 })
    await t.rejects(other.publish(gone, last), { code: 'PERMISSION_DENIED' })
  })

  async function reviewerToken(): Promise<string> {
    const token = await api.serviceAccountToken('kube-system', 'reviewer')
    await api.api('POST', '/apis/rbac.authorization.k8s.io/v1/clusterrolebindings', {
      metadata: { name: 'reviewer' },
      roleRef: {
        apiGroup: 'rbac.authorization.k8s.io',
        kind: 'ClusterRole',
        name: 'system:auth-delegator',
      },
      subjects: [{ kind: 'ServiceAccount', name: 'reviewer', namespace: 'kube-system' }],
    })
    return token
  }

  /** With a token that Vault has not seen, so that the policies of a role that was changed are its. */
  async function newlyPublished(pod: Parameters<typeof cluster.newTokens>[0]) {
    return cluster.publish(pod, { class: 'web', tokens: await cluster.newTokens(pod) })
  }
})
