import { test } from 'tap'
import { whyNoMounts } from '../../real/host/mount-namespace.ts'
import { makeKey } from '../../real/vault/transit-setup.ts'
import { startCsiStack } from './csi-stack.ts'

const TYPES = ['publicKey', 'decrypt']
const LISTS = { serviceAccounts: ['*'], roles: ['web'], keys: ['app-*'], types: TYPES }

void test('teams with their own Transit engines', { skip: whyNoMounts() }, async (t) => {
  const { cluster, vault } = await startCsiStack(t, {
    csi: {
      rules: [
        { namespaces: ['shop'], ...LISTS },
        { namespaces: ['shop'], mount: 'second', ...LISTS },
        { namespaces: ['shop'], vaultNamespace: 'team-a', ...LISTS },
        { namespaces: ['bank'], vaultNamespace: 'team-b', ...LISTS },
      ],
    },
  })
  const { bao } = vault
  await bao.api('POST', 'sys/mounts/second', { type: 'transit' })
  const policy = 'path "second/decrypt/app-*" { capabilities = ["update"] }'
  await bao.api('PUT', 'sys/policies/acl/second', { policy })
  const subjects = ['system:serviceaccount:shop:*']
  await vault.writeRole({ role: 'web', subjects, policies: ['csi', 'more-keys', 'second'] })
  await makeKey(bao, 'app-data')
  await makeKey(bao, 'app-data', { mount: 'second' })
  for (const namespace of ['team-a', 'team-b']) {
    await vault.createNamespace(namespace)
    await bao.api('POST', 'transit/keys/app-data', {}, { namespace })
    await vault.writeRole({ role: 'web', subjects: ['system:serviceaccount:*:*'] }, namespace)
  }
  const plaintext = Buffer.from('of the second').toString('base64')
  const second = await bao.api('POST', 'second/encrypt/app-data', { plaintext })
  const object = { type: 'decrypt', key: 'app-data' }
  const ofA = await vault.encrypt('app-data', 'of team a', { namespace: 'team-a' })
  const ofB = await vault.encrypt('app-data', 'of team b', { namespace: 'team-b' })

  await t.test(
    'one volume has files of several engines, each under the identity of its pod',
    async (t) => {
      const objects = [
        { ...object, path: 'home', ciphertext: await vault.encrypt('app-data', 'of home') },
        { ...object, path: 'second', mount: 'second', ciphertext: String(second.data.ciphertext) },
        { ...object, path: 'team', vaultNamespace: 'team-a', ciphertext: ofA },
      ]
      await cluster.writeClass({ name: 'several', objects })
      const pod = await cluster.createPod({ name: 'several', classes: 'several' })
      const volume = await cluster.publish(pod, 'several')
      t.same(
        volume.files().map((file) => [file, volume.text(file)]),
        [
          ['home', 'of home'],
          ['second', 'of the second'],
          ['team', 'of team a'],
        ],
      )
      const generation = volume.generation
      await cluster.publish(pod, 'several')
      t.equal(volume.generation, generation, 'a republish changes nothing')
    },
  )

  await t.test('a class, or its pod, cannot choose the engine of another team', async (t) => {
    const objects = [{ ...object, path: 'team', ciphertext: ofB }]
    await cluster.writeClass({ name: 'theirs', objects, parameters: { vaultNamespace: 'team-b' } })
    const pod = await cluster.createPod({ name: 'thief', classes: 'theirs' })
    const since = bao.auditMark()
    const refusal = {
      code: 'PERMISSION_DENIED',
      message:
        /no rule for shop\/thief with this role allows mount "transit" in Vault namespace "team-b"/,
    }
    await t.rejects(cluster.publish(pod, 'theirs'), refusal)
    await cluster.writeClass({ name: 'home', objects })
    const attributes = { vaultNamespace: 'team-b' }
    await t.rejects(cluster.publish(pod, { class: 'home', attributes }), refusal)
    t.same(bao.auditRequests({ since, namespace: 'team-b/' }), [])
    await cluster.writeClass({
      name: 'theirs',
      namespace: 'bank',
      objects,
      parameters: { vaultNamespace: 'team-b' },
    })
    const owner = await cluster.createPod({ name: 'owner', namespace: 'bank', classes: 'theirs' })
    t.equal((await cluster.publish(owner, 'theirs')).text('team'), 'of team b')
  })
})
