import { setImmediate } from 'node:timers/promises'
import { test } from 'tap'
import { whyNoMounts } from '../../real/host/mount-namespace.ts'
import { configKey, makeKey, rotateKey } from '../../real/vault/transit-setup.ts'
import { startCsiStack } from './csi-stack.ts'

void test('files follow the key and the class', { skip: whyNoMounts() }, async (t) => {
  const { cluster, driver, vault, provider } = await startCsiStack(t)
  const { bao } = vault
  await makeKey(bao, 'app-signing', { type: 'rsa-2048' })
  await makeKey(bao, 'app-data')
  const ciphertext = await vault.encrypt('app-data', 'the first password')
  const signing = { path: 'keys/signing.pem', type: 'publicKey', key: 'app-signing' }
  const jwks = { path: 'keys/jwks.json', type: 'jwks', key: 'app-signing', alg: 'RS256' }
  const password = { path: 'password', type: 'decrypt', key: 'app-data', ciphertext }
  const secretObjects = [
    {
      secretName: 'keys',
      type: 'Opaque',
      data: [{ objectName: 'keys/signing.pem', key: 'pem' }],
    },
  ]
  await cluster.writeClass({ name: 'web', objects: [signing, jwks, password], secretObjects })
  const pod = await cluster.createPod({ name: 'web', classes: 'web' })
  const volume = await cluster.publish(pod, 'web')
  const versions = async () => (await cluster.podStatus(pod, 'web'))?.versions

  await t.test(
    'a rotation replaces all files in one step and changes only their versions',
    async (t) => {
      const before = { generation: volume.generation, pem: volume.text('keys/signing.pem') }
      const versionsBefore = await versions()
      await rotateKey(bao, 'app-signing')
      await republishUntil(() => volume.generation !== before.generation)
      const pem = await readPublicPem(2)
      t.equal(volume.text('keys/signing.pem'), pem)
      t.not(pem, before.pem)
      t.equal((volume.json('keys/jwks.json') as { keys: unknown[] }).keys.length, 2)
      const after = await versions()
      t.not(after?.['keys/signing.pem'], versionsBefore?.['keys/signing.pem'])
      t.not(after?.['keys/jwks.json'], versionsBefore?.['keys/jwks.json'])
      t.equal(after?.['password'], versionsBefore?.['password'])
      await driver.waitUntil('the Secret of the new version', async () => {
        const secret = await cluster.api.getSecret('shop', 'keys')
        return secret['pem'] === pem
      })
      t.pass('the Secret follows')
    },
  )

  await t.test('a reader sees all of the old files or all of the new ones', async (t) => {
    const pairs = new Set<string>()
    const before = volume.generation
    const stop = new AbortController()
    const watching = (async () => {
      while (!stop.signal.aborted) {
        // As a program that opens the folder and reads both files in it.
        const folder = volume.generation
        try {
          const { keys } = volume.json(`${folder}/keys/jwks.json`) as { keys: unknown[] }
          pairs.add(`${keys.length} ${volume.text(`${folder}/keys/signing.pem`)}`)
        } catch (error) {
          // The driver deletes the old folder once the new one is in place.
          if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
        }
        await setImmediate()
      }
    })()
    await rotateKey(bao, 'app-signing')
    await republishUntil(() => volume.generation !== before)
    stop.abort()
    await watching
    t.ok(pairs.size <= 2)
    for (const pair of pairs) {
      const count = Number(pair.split(' ')[0])
      t.equal(pair, `${count} ${await readPublicPem(count)}`)
    }
  })

  await t.test('what is no longer live leaves the JWKS', async (t) => {
    const before = volume.generation
    await configKey(bao, 'app-signing', { min_decryption_version: 3 })
    await republishUntil(() => volume.generation !== before)
    t.equal((volume.json('keys/jwks.json') as { keys: unknown[] }).keys.length, 1)
  })

  await t.test(
    'a new ciphertext and a new file in the class appear; a removed file disappears',
    async (t) => {
      const before = await versions()
      const changed = await vault.encrypt('app-data', 'the second password')
      await cluster.writeClass({
        name: 'web',
        objects: [
          signing,
          { ...password, ciphertext: changed },
          { path: 'info', type: 'keyInfo', key: 'app-data' },
        ],
        secretObjects,
      })
      await republishUntil(() => volume.text('password') === 'the second password')
      t.same(volume.files(), ['info', 'keys/signing.pem', 'password'])
      const after = await versions()
      t.same(Object.keys(after ?? {}).toSorted(), volume.files())
      t.not(after?.['password'], before?.['password'])
      t.equal(after?.['keys/signing.pem'], before?.['keys/signing.pem'])
    },
  )

  await t.test('the provider is killed and started again between', async (t) => {
    const before = { generation: volume.generation, versions: await versions() }
    await provider.kill()
    await provider.restart()
    await cluster.publish(pod, 'web')
    t.equal(volume.generation, before.generation, 'the same content, byte by byte')
    t.same(await versions(), before.versions)
    t.equal(volume.text('password'), 'the second password')
    const errors = await driver.count('rotation_reconcile_error_total')
    await provider.kill()
    const publishing = cluster.publish(pod, 'web')
    await provider.restart()
    await publishing
    t.equal(await driver.count('rotation_reconcile_error_total'), errors, 'the driver waits for it')
    t.equal(volume.text('password'), 'the second password')

    // A pod that starts while the provider is down waits in the driver, without an error.
    const fresh = await cluster.createPod({ name: 'fresh', classes: 'web' })
    await cluster.tokens(fresh)
    await provider.kill()
    const starting = cluster.publish(fresh, 'web')
    await provider.restart()
    t.equal((await starting).text('password'), 'the second password')
  })

  /** As the kubelet does about once a minute, only sooner. */
  async function republishUntil(holds: () => boolean): Promise<void> {
    await driver.waitUntil('other files in the volume', async () => {
      await cluster.publish(pod, 'web')
      return holds()
    })
  }

  async function readPublicPem(version: number): Promise<string> {
    const { data } = await bao.api('GET', 'transit/keys/app-signing')
    return String(data.keys[String(version)].public_key)
  }
})
