// A rotation ends where a second KMS provider writes other resources, and where objects of an API that is no longer served remain.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { stringify } from 'yaml'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { Plugin } from '../../real/program/plugin.ts'
import {
  pluginConfiguration,
  startApiServer,
  startEtcd,
  startPlugin,
  startVault,
} from '../cluster.ts'
import { Operator } from '../command.ts'
import { identity, kms } from '../encryption-config.ts'

const POLICY = `
path "transit/keys/*" { capabilities = ["read"] }
path "transit/encrypt/*" { capabilities = ["update"] }
path "transit/decrypt/*" { capabilities = ["update"] }
`

void test('objects of another KMS provider are not stale, and leftovers are accepted by name', async (t) => {
  const [{ vault, proxy }, etcd] = await Promise.all([startVault(t), startEtcd(t)])
  await vault.bao.api('POST', 'transit/keys/another-key', {})
  await vault.writePolicy(POLICY)
  const plugin = await startPlugin(t, vault, proxy)
  const transit = { key: 'another-key' }
  const other = await Plugin.start({ ...pluginConfiguration(vault, proxy), transit })
  t.teardown(() => other.stop())
  await other.waitForHealth('ok')
  const config = stringify({
    apiVersion: 'apiserver.config.k8s.io/v1',
    kind: 'EncryptionConfiguration',
    resources: [
      { resources: ['secrets'], providers: [kms(plugin.socket), identity] },
      { resources: ['configmaps'], providers: [kms(other.socket, { name: 'other' }), identity] },
    ],
  })
  const file = join(tempFolder('rotate-accept'), 'encryption.yaml')
  writeFileSync(file, config)
  const api = await startApiServer(t, { etcd, encryptionConfig: config })
  await api.createSecret('default', 'one', { v: '1' })
  const configMaps = '/api/v1/namespaces/default/configmaps'
  await api.api('POST', configMaps, { metadata: { name: 'one' }, data: { v: '1' } })
  const secret = await etcd.get('/registry/secrets/default/one')
  if (secret === undefined) throw new Error('it was created')
  await etcd.put('/registry/gone.example.com/widgets/default/a', secret)

  const operator = await Operator.of({ apis: [api], plugins: [plugin], etcd })
  const env = { VAULT_TOKEN: vault.bao.rootToken }
  const command = ['rotate', '--config', plugin.configFile, '--encryption-config', file]
  const stuck = await operator.run(command, env)
  t.equal(stuck.code, 1, stuck.stdout + stuck.stderr)
  t.match(stuck.stderr, /must not leave behind: 1 without a provider in --encryption-config;/)
  const accept = ['--accept', 'widgets.gone.example.com']
  const { code, stdout, stderr } = await operator.run([...command, ...accept], env)
  t.equal(code, 0, stdout + stderr)
  t.match(stderr, 'not checked, because of --accept: 1 object of widgets.gone.example.com')
  t.match(stdout, 'etcd needs version 1 and newer', 'what was accepted keeps its key version')
  const rewrite = ['rewrite', '--encryption-config', file]
  t.match(await operator.run(rewrite, env), { code: 1, stdout: /1 without a provider/ })
  t.match(await operator.run([...rewrite, ...accept], env), { code: 0 })
})
