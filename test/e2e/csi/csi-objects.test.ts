import { createPublicKey, verify } from 'node:crypto'
import { compactVerify, createLocalJWKSet, type JSONWebKeySet } from 'jose'
import { test } from 'tap'
import { whyNoMounts } from '../../real/host/mount-namespace.ts'
import { makeKey, rotateKey } from '../../real/vault/transit-setup.ts'
import { startCsiStack } from './csi-stack.ts'

void test('what pods find in their volumes', { skip: whyNoMounts() }, async (t) => {
  const { cluster, driver, vault } = await startCsiStack(t)
  const { bao } = vault
  await makeKey(bao, 'app-signing', { type: 'ecdsa-p256' })
  await rotateKey(bao, 'app-signing')
  await makeKey(bao, 'app-edwards', { type: 'ed25519' })
  await makeKey(bao, 'app-data')
  await makeKey(bao, 'app-derived', { type: 'aes256-gcm96', derived: true })
  await makeKey(bao, 'app-exported', { type: 'aes256-gcm96', exportable: true })
  const password = 'correct horse battery staple'
  const binary = Buffer.from([0, 255, 10, 13, 0, 128, 7, 1, 2, 3, 4, 5, 6])
  const context = Buffer.from('tenant-1')
  const associatedData = Buffer.from('shop/db')
  const { plain, wrapped } = await vault.makeDataKey('app-data')
  const objects = [
    { path: 'keys/signing.pem', type: 'publicKey', key: 'app-signing' },
    { path: 'keys/all', type: 'publicKey', key: 'app-signing', version: 'all' },
    { path: 'keys/edwards.der', type: 'publicKey', key: 'app-edwards', format: 'der' },
    { path: 'keys/edwards.jwk', type: 'publicKey', key: 'app-edwards', format: 'jwk' },
    { path: 'jwks.json', type: 'jwks', key: 'app-signing', mode: '0444' },
    { path: 'info.json', type: 'keyInfo', key: 'app-data' },
    { path: 'db/dek', type: 'dataKey', key: 'app-data', wrapped, mode: '0400' },
    {
      path: 'db/password',
      type: 'decrypt',
      key: 'app-data',
      ciphertext: await vault.encrypt('app-data', password),
      mode: '0440',
    },
    {
      path: 'db/binary',
      type: 'decrypt',
      key: 'app-data',
      ciphertext: await vault.encrypt('app-data', binary),
    },
    {
      path: 'db/bound',
      type: 'decrypt',
      key: 'app-data',
      ciphertext: await vault.encrypt('app-data', 'bound to the shop', { associatedData }),
      associatedData: associatedData.toString('base64'),
    },
    {
      path: 'db/derived',
      type: 'decrypt',
      key: 'app-derived',
      ciphertext: await vault.encrypt('app-derived', 'of one tenant', { context }),
      context: context.toString('base64'),
    },
    { path: 'exported.key', type: 'exportedKey', key: 'app-exported', mode: '0400' },
    { path: 'retired.pem', type: 'publicKey', key: 'app-retired', optional: true },
  ]
  await cluster.writeClass({
    name: 'all',
    objects,
    secretObjects: [
      {
        secretName: 'db',
        type: 'Opaque',
        data: [
          { objectName: 'db/password', key: 'password' },
          { objectName: 'jwks.json', key: 'jwks' },
        ],
      },
    ],
  })
  const pod = await cluster.createPod({ name: 'web', classes: 'all' })
  const volume = driver.volume(pod, 'all')

  await t.test('every type: bytes and modes, on tmpfs, owned by root', async (t) => {
    const since = bao.auditMark()
    await cluster.publish(pod, 'all')
    t.equal(volume.type, 'tmpfs')
    t.same(volume.files(), [
      'db/binary',
      'db/bound',
      'db/dek',
      'db/derived',
      'db/password',
      'exported.key',
      'info.json',
      'jwks.json',
      'keys/all/1',
      'keys/all/2',
      'keys/edwards.der',
      'keys/edwards.jwk',
      'keys/signing.pem',
    ])
    t.equal(volume.text('db/password'), password)
    t.ok(volume.read('db/binary').equals(binary))
    t.equal(volume.text('db/bound'), 'bound to the shop')
    t.equal(volume.text('db/derived'), 'of one tenant')
    t.ok(volume.read('db/dek').equals(plain))
    t.equal(volume.read('exported.key').byteLength, 32)
    t.match(volume.json('info.json'), { name: 'app-data', type: 'aes256-gcm96', latestVersion: 1 })
    const modes = [
      'db/dek',
      'db/password',
      'exported.key',
      'jwks.json',
      'keys/signing.pem',
    ] as const
    t.same(
      modes.map((file) => volume.mode(file)),
      ['0400', '0440', '0400', '0444', '0444'],
    )
    t.equal(volume.owner('db/dek'), '0:0')
    // One batch for a key, however many objects.
    t.equal(bao.auditRequests({ since, path: 'transit/decrypt/app-data' }).length, 1)
    t.equal(bao.auditRequests({ since, path: 'transit/keys/app-signing' }).length, 1)
    t.equal(bao.auditRequests({ since, path: 'auth/jwt/login' }).length, 1)
  })

  await t.test('signatures of Transit verify with the mounted keys', async (t) => {
    const payload = Buffer.from('{"order":7}')
    const kid = (volume.json('jwks.json') as JSONWebKeySet).keys.map((key) => String(key.kid))
    t.equal(kid.length, 2)
    const header = Buffer.from(JSON.stringify({ alg: 'ES256', kid: kid[1] })).toString('base64url')
    const input = `${header}.${payload.toString('base64url')}`
    const signature = await sign('app-signing', input, { marshaling_algorithm: 'jws' })
    const jwks = createLocalJWKSet(volume.json('jwks.json') as JSONWebKeySet)
    const verified = await compactVerify(`${input}.${signature}`, jwks)
    t.same(Buffer.from(verified.payload), payload)

    const der = Buffer.from(await sign('app-signing', input), 'base64')
    t.ok(
      verify('sha256', Buffer.from(input), createPublicKey(volume.text('keys/signing.pem')), der),
    )
    t.equal(volume.text('keys/all/2'), volume.text('keys/signing.pem'))

    const edwards = Buffer.from(await sign('app-edwards', input), 'base64')
    const spki = { key: volume.read('keys/edwards.der'), format: 'der', type: 'spki' } as const
    t.ok(verify(null, Buffer.from(input), createPublicKey(spki), edwards))
    const jwk = volume.json('keys/edwards.jwk') as Record<string, string>
    t.ok(verify(null, Buffer.from(input), createPublicKey({ key: jwk, format: 'jwk' }), edwards))
  })

  await t.test('the status names every file, and nothing of what is secret', async (t) => {
    const status = await cluster.podStatus(pod, 'all')
    t.same(Object.keys(status?.versions ?? {}).toSorted(), volume.files())
    t.equal(status?.mounted, true)
  })

  await t.test('files become a Secret', async (t) => {
    await driver.waitUntil('the Secret', async () => {
      const secret = await cluster.api.getSecret(pod.namespace, 'db')
      return secret['password'] === password && secret['jwks'] === volume.text('jwks.json')
    })
    await driver.waitUntil('the owner of the Secret', async () => {
      const { metadata } = await cluster.api.api('GET', '/api/v1/namespaces/shop/secrets/db')
      return metadata.ownerReferences?.[0]?.kind === 'SecretProviderClassPodStatus'
    })
    t.same(Object.keys(await cluster.api.getSecret(pod.namespace, 'db')), ['jwks', 'password'])
  })

  await t.test(
    'a republish for other pods keeps the versions, and no file is replaced',
    async (t) => {
      const before = { generation: volume.generation, status: await cluster.podStatus(pod, 'all') }
      for (let round = 0; round < 3; round += 1) await cluster.publish(pod, 'all')
      t.equal(volume.generation, before.generation)
      t.same(await cluster.podStatus(pod, 'all'), before.status)
      const other = await cluster.createPod({ name: 'other', classes: 'all' })
      await cluster.publish(other, 'all')
      t.same((await cluster.podStatus(other, 'all'))?.versions, before.status?.versions)
    },
  )

  await t.test('several classes in one pod, several pods of one class', async (t) => {
    await cluster.writeClass({
      name: 'one',
      objects: [{ path: 'a', type: 'keyInfo', key: 'app-data' }],
    })
    await cluster.writeClass({
      name: 'two',
      objects: [{ path: 'b', type: 'jwks', key: 'app-edwards' }],
    })
    const both = await cluster.createPod({ name: 'both', classes: ['one', 'two'] })
    t.same((await cluster.publish(both, 'one')).files(), ['a'])
    t.same((await cluster.publish(both, 'two')).files(), ['b'])
    const again = await cluster.createPod({ name: 'again', classes: 'one' })
    const published = await cluster.publish(again, { class: 'one', tokensInSecrets: true })
    t.same(published.files(), ['a'], 'with the token in secrets, as Kubernetes 1.35 has it')
  })

  await t.test("a pod's attributes cannot change where its keys come from", async (t) => {
    const attacker = await cluster.createPod({ name: 'attacker', classes: 'one' })
    for (const [name, value] of [
      ['vaultAddress', 'http://127.0.0.1:1'],
      ['audience', 'other'],
      ['vaultSkipTLSVerify', 'true'],
    ] as const) {
      const publication = { class: 'one', attributes: { [name]: value } }
      await t.rejects(cluster.publish(attacker, publication), {
        code: 'INVALID_ARGUMENT',
        message: new RegExp(`${name}: is not a known field`),
      })
    }
    const otherMount = { class: 'one', attributes: { mount: 'other' } }
    await t.rejects(cluster.publish(attacker, otherMount), { code: 'PERMISSION_DENIED' })
  })

  await t.test('when the pod is gone, so is its volume', async (t) => {
    await driver.unpublish(pod, 'all')
    t.equal(volume.type, undefined)
    t.notOk(driver.hasLeaf(pod, 'all'))
    await driver.unpublish(pod, 'all')
  })

  async function sign(key: string, input: string, options: object = {}): Promise<string> {
    const body = { input: Buffer.from(input).toString('base64'), ...options }
    const { data } = await bao.api('POST', `transit/sign/${key}/sha2-256`, body)
    return String(data.signature).replace(/^vault:v\d+:/, '')
  }
})
