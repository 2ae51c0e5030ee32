import {
  chmodSync,
  mkdirSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'

import { ConfigError } from '../../src/yaml/fault.ts'
import {
  installOnNode,
  removeFromNode,
  type NodeInstallOptions,
} from '../../src/node/install/node-install.ts'
import { CONFIG, makePlace, MANIFEST } from './place.ts'

/** The paths of what is wrong with a configuration. */
async function faultsOf(options: NodeInstallOptions): Promise<string[]> {
  const error: unknown = await installOnNode(options).catch((thrown: unknown) => thrown)
  return error instanceof ConfigError ? error.faults.map(({ path }) => path) : []
}

void test('a node gets token, CA, configuration and manifest, in this order, and nothing twice', async (t) => {
  const { options, read, writeToken } = await makePlace(t)
  const token = await writeToken()
  const outcome = await installOnNode(options)
  t.same(outcome.changed, [
    '/etc/tb/token',
    '/etc/tb/vault-ca.pem',
    '/etc/tb/config.yaml',
    MANIFEST,
  ])
  t.equal(outcome.socket, '/run/tb/kms.sock')
  t.ok(Math.abs((outcome.tokenExpiresAt ?? 0) - Date.now() - 86_400_000) < 60_000)
  t.equal(read('/etc/tb/token'), `${token}\n`)
  t.equal(read('/etc/tb/config.yaml'), CONFIG)
  t.same((await installOnNode(options)).changed, [])
})

void test('the files are for root alone; what anybody may know is not hidden', async (t) => {
  const { options, writeToken } = await makePlace(t)
  await writeToken()
  await installOnNode(options)
  const mode = (path: string) => (statSync(join(options.root, path)).mode & 0o777).toString(8)
  t.equal(mode('/etc/tb/token'), '600')
  t.equal(mode('/etc/tb/config.yaml'), '600')
  t.equal(mode(MANIFEST), '600')
  t.equal(mode('/etc/tb/vault-ca.pem'), '644')
  chmodSync(join(options.root, '/etc/tb/token'), 0o644)
  t.same((await installOnNode(options)).changed, ['/etc/tb/token'], 'modes are kept, too')
  t.equal(mode('/etc/tb/token'), '600')
})

void test('the static pod names configuration, image and the port of its metrics', async (t) => {
  const { options, read, writeConfig, writeToken } = await makePlace(t)
  await writeToken()
  await installOnNode(options)
  const pod = parse(read(MANIFEST))
  const [container] = pod.spec.containers
  t.equal(container.image, options.image)
  t.same(container.args, ['kms', '--config', '/etc/tb/config.yaml'])
  t.same(container.ports, [{ name: 'metrics', containerPort: 9390 }])
  t.equal(pod.metadata.namespace, 'kube-system')
  const annotations = pod.metadata.annotations

  writeConfig(CONFIG.replace('transit: ', 'log: {level: debug}\ntransit: '))
  t.same((await installOnNode(options)).changed, ['/etc/tb/config.yaml', MANIFEST])
  t.notSame(
    parse(read(MANIFEST)).metadata.annotations,
    annotations,
    'so the kubelet starts it anew',
  )
})

void test('the static pod may change the group of its socket only where kms.socketGroup is set', async (t) => {
  const { options, read, writeConfig, writeToken } = await makePlace(t)
  await writeToken()
  const capabilities = async () => {
    await installOnNode(options)
    return parse(read(MANIFEST)).spec.containers[0].securityContext.capabilities
  }
  t.same(await capabilities(), { drop: ['ALL'] })
  writeConfig(CONFIG.replace('kms: {', 'kms: {socketGroup: 1000, '))
  t.same(await capabilities(), { drop: ['ALL'], add: ['CHOWN'] })
})

void test('nothing else in the folder of static pods is touched', async (t) => {
  const { options, read, writeToken } = await makePlace(t)
  await writeToken()
  writeFileSync(join(options.root, 'manifests/kube-apiserver.yaml'), 'the API server')
  await installOnNode(options)
  await removeFromNode(options)
  t.same(readdirSync(join(options.root, 'manifests')), ['kube-apiserver.yaml'])
  t.equal(read('/manifests/kube-apiserver.yaml'), 'the API server')
})

void test('what somebody changed or removed comes back', async (t) => {
  const { options, read, writeToken } = await makePlace(t)
  await writeToken()
  await installOnNode(options)
  const manifest = read(MANIFEST)
  rmSync(join(options.root, MANIFEST))
  symlinkSync('/etc/passwd', join(options.root, MANIFEST))
  writeFileSync(join(options.root, '/etc/tb/config.yaml'), 'changed')
  t.same((await installOnNode(options)).changed, ['/etc/tb/config.yaml', MANIFEST])
  t.equal(read(MANIFEST), manifest)
})

void test('a token that contradicts the configuration never replaces the one that the node has', async (t) => {
  const { options, read, writeToken } = await makePlace(t)
  const good = await writeToken()
  await installOnNode(options)
  await writeToken({ audience: 'somebody-else' })
  await t.rejects(installOnNode(options), { code: 'IDENTITY_INVALID', message: /audience/ })
  rmSync(options.tokenSource ?? '')
  await t.rejects(installOnNode(options), { code: 'IDENTITY_MISSING' })
  t.equal(read('/etc/tb/token'), `${good}\n`)
  const renewed = await writeToken()
  t.same((await installOnNode(options)).changed, ['/etc/tb/token'])
  t.equal(read('/etc/tb/token'), `${renewed}\n`)
  const expired = await writeToken({ expiresIn: -600 })
  t.same((await installOnNode(options)).changed, ['/etc/tb/token'])
  t.equal(read('/etc/tb/token'), `${expired}\n`, 'the clock of the node may be wrong')
})

void test('a configuration that is wrong never reaches the node', async (t) => {
  const { options, read, writeConfig, writeToken } = await makePlace(t)
  await writeToken()
  await installOnNode(options)
  writeConfig(CONFIG.replace('clusterId', 'clusterID'))
  t.same(await faultsOf(options), ['kms.clusterID'])
  writeConfig(CONFIG.replace('k8s-etcd', '"${KEY}"'))
  t.same(await faultsOf(options), ['transit.key'], 'nor one with variables')
  writeConfig(CONFIG.replace(/kms: .*\n/, ''))
  await t.rejects(installOnNode(options), { code: 'CONFIG_INVALID', message: /^kms: is missing/ })
  writeConfig(CONFIG.replace(/caFile.*/, ''))
  await t.rejects(installOnNode(options), { message: /names no vault.caFile/ })
  t.equal(read('/etc/tb/config.yaml'), CONFIG)
})

void test('logins by files of the host take no token', async (t) => {
  const { options, writeConfig, writeToken } = await makePlace(t)
  await writeToken()
  writeConfig(CONFIG.replace(/auth: .*/, 'auth: {method: token, tokenFile: /etc/tb/vault-token}'))
  await t.rejects(installOnNode(options), { message: /method token takes no token/ })
  const { tokenSource: _, ...others } = options
  t.same((await installOnNode(others)).changed.length, 3)
  writeConfig(CONFIG)
  await t.rejects(installOnNode(others), { message: /method jwt needs a service-account token/ })
})

void test('a folder that is not mounted, and a folder in the place of a file, are said in words', async (t) => {
  const { options, writeToken } = await makePlace(t)
  await writeToken()
  const away = { ...options, manifestFolder: '/not-mounted' }
  await t.rejects(installOnNode(away), {
    code: 'HOST_FAILED',
    message: /folder of the host is mounted/,
  })
  mkdirSync(join(options.root, MANIFEST))
  await t.rejects(installOnNode(options), {
    code: 'HOST_FAILED',
    message: /a folder has this name; remove it/,
  })
  await t.rejects(removeFromNode(options), { code: 'HOST_FAILED', message: /cannot be removed/ })
})

void test('what was put there is taken away, the manifest first', async (t) => {
  const { options, writeToken } = await makePlace(t)
  await writeToken()
  await installOnNode(options)
  const { changed } = await removeFromNode(options)
  t.same(changed, [MANIFEST, '/etc/tb/config.yaml', '/etc/tb/token', '/etc/tb/vault-ca.pem'])
  t.same((await removeFromNode(options)).changed, [])
})
