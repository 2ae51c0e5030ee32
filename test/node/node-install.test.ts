import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { createSecureContext } from 'node:tls'
import { test } from 'tap'
import { parse } from 'yaml'

import { ConfigError } from '../../src/yaml/fault.ts'
import {
  installOnNode,
  removeFromNode,
  type NodeInstallOptions,
} from '../../src/node/install/node-install.ts'
import { readTlsFiles } from '../../src/vault/tls/tls-files.ts'
import { CertificateAuthority } from '../real/host/pki.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { CONFIG, makeNode, MANIFEST } from './node-folders.ts'

/** The paths of the faults of a configuration. */
async function faultsOf(options: NodeInstallOptions): Promise<string[]> {
  const error: unknown = await installOnNode(options).catch((thrown: unknown) => thrown)
  return error instanceof ConfigError ? error.faults.map(({ path }) => path) : []
}

void test('token, CA, configuration and manifest are written in this order, and only once', async (t) => {
  const { options, read, writeToken } = await makeNode(t)
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

void test('only root can read the files; the CA, which is public, is readable by all', async (t) => {
  const { options, writeToken } = await makeNode(t)
  await writeToken()
  await installOnNode(options)
  const mode = (path: string) => (statSync(join(options.root, path)).mode & 0o777).toString(8)
  t.equal(mode('/etc/tb/token'), '600')
  t.equal(mode('/etc/tb/config.yaml'), '600')
  t.equal(mode(MANIFEST), '600')
  t.equal(mode('/etc/tb/vault-ca.pem'), '644')
  chmodSync(join(options.root, '/etc/tb/token'), 0o644)
  t.same((await installOnNode(options)).changed, ['/etc/tb/token'], 'a changed mode is corrected')
  t.equal(mode('/etc/tb/token'), '600')
})

void test('the static pod contains the configuration, the image and the metrics port', async (t) => {
  const { options, read, writeConfig, writeToken } = await makeNode(t)
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
  t.notSame(parse(read(MANIFEST)).metadata.annotations, annotations, 'so the kubelet restarts it')
})

void test('the static pod may change the group of its socket only if kms.socketGroup is set', async (t) => {
  const { options, read, writeConfig, writeToken } = await makeNode(t)
  await writeToken()
  const capabilities = async () => {
    await installOnNode(options)
    return parse(read(MANIFEST)).spec.containers[0].securityContext.capabilities
  }
  t.same(await capabilities(), { drop: ['ALL'] })
  writeConfig(CONFIG.replace('kms: {', 'kms: {socketGroup: 1000, '))
  t.same(await capabilities(), { drop: ['ALL'], add: ['CHOWN'] })
})

void test('the static pod has an SELinux type only if one is given', async (t) => {
  const { options, read, writeToken } = await makeNode(t)
  await writeToken()
  await installOnNode(options)
  t.notOk(parse(read(MANIFEST)).spec.securityContext.seLinuxOptions)
  await installOnNode({ ...options, selinuxType: 'spc_t' })
  t.same(parse(read(MANIFEST)).spec.securityContext.seLinuxOptions, { type: 'spc_t' })
})

void test('other files in the folder of static pods are not changed', async (t) => {
  const { options, read, writeToken } = await makeNode(t)
  await writeToken()
  writeFileSync(join(options.root, 'manifests/kube-apiserver.yaml'), 'the API server')
  await installOnNode(options)
  await removeFromNode(options)
  t.same(readdirSync(join(options.root, 'manifests')), ['kube-apiserver.yaml'])
  t.equal(read('/manifests/kube-apiserver.yaml'), 'the API server')
})

void test('changed or removed files are restored', async (t) => {
  const { options, read, writeToken } = await makeNode(t)
  await writeToken()
  await installOnNode(options)
  const manifest = read(MANIFEST)
  rmSync(join(options.root, MANIFEST))
  symlinkSync('/etc/passwd', join(options.root, MANIFEST))
  writeFileSync(join(options.root, '/etc/tb/config.yaml'), 'changed')
  t.same((await installOnNode(options)).changed, ['/etc/tb/config.yaml', MANIFEST])
  t.equal(read(MANIFEST), manifest)
})

void test('a token that contradicts the configuration never replaces the current one', async (t) => {
  const { options, read, writeToken } = await makeNode(t)
  const good = await writeToken()
  await installOnNode(options)
  await writeToken({ audience: 'another-audience' })
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

void test('an invalid configuration never reaches the node', async (t) => {
  const { options, read, writeConfig, writeToken } = await makeNode(t)
  await writeToken()
  await installOnNode(options)
  writeConfig(CONFIG.replace('clusterId', 'clusterID'))
  t.same(await faultsOf(options), ['kms.clusterID'])
  writeConfig(CONFIG.replace('k8s-etcd', '"${KEY}"'))
  t.same(await faultsOf(options), ['transit.key'], 'variables are invalid, too')
  writeConfig(CONFIG.replace(/kms: .*\n/, ''))
  await t.rejects(installOnNode(options), { code: 'CONFIG_INVALID', message: /^kms: is missing/ })
  writeConfig(CONFIG.replace(/caFile.*/, ''))
  await t.rejects(installOnNode(options), { message: /vault.caFile is not/ })
  t.equal(read('/etc/tb/config.yaml'), CONFIG)
})

void test('logins with files of the host use no token', async (t) => {
  const { options, writeConfig, writeToken } = await makeNode(t)
  await writeToken()
  writeConfig(CONFIG.replace(/auth: .*/, 'auth: {method: token, tokenFile: /etc/tb/vault-token}'))
  await t.rejects(installOnNode(options), { message: /method token does not use it/ })
  const { tokenSource: _, ...others } = options
  t.same((await installOnNode(others)).changed.length, 3)
  writeConfig(CONFIG)
  await t.rejects(installOnNode(others), { message: /method jwt requires a service-account token/ })
})

void test('a folder that is not mounted, and a directory in place of a file, are explained', async (t) => {
  const { options, writeToken } = await makeNode(t)
  await writeToken()
  const unmounted = { ...options, manifestFolder: '/not-mounted' }
  await t.rejects(installOnNode(unmounted), {
    code: 'HOST_FAILED',
    message: /host folder is mounted/,
  })
  mkdirSync(join(options.root, MANIFEST))
  await t.rejects(installOnNode(options), {
    code: 'HOST_FAILED',
    message: /a directory has this name; remove it/,
  })
  await t.rejects(removeFromNode(options), { code: 'HOST_FAILED', message: /cannot be removed/ })
})

void test('a source that never answers a read is named, and does not stop the installer', async (t) => {
  const { options, writeToken } = await makeNode(t)
  await writeToken()
  const pipe = `${String(options.caSource)}.pipe`
  execFileSync('mkfifo', [pipe])
  await t.rejects(installOnNode({ ...options, caSource: pipe }), {
    code: 'HOST_UNAVAILABLE',
    message: /^--ca: .*ca.pem.pipe did not answer a read within 2 s/,
  })
  const { changed } = await installOnNode(options)
  t.same(changed, ['/etc/tb/vault-ca.pem', '/etc/tb/config.yaml', MANIFEST])
  // Ends the read.
  closeSync(openSync(pipe, 'r+'))
})

void test('everything that was written is removed, the manifest first', async (t) => {
  const { options, writeToken } = await makeNode(t)
  await writeToken()
  await installOnNode(options)
  const { changed } = await removeFromNode(options)
  t.same(changed, [MANIFEST, '/etc/tb/config.yaml', '/etc/tb/token', '/etc/tb/vault-ca.pem'])
  t.same((await removeFromNode(options)).changed, [])
})

void test('a CA file that the installer did not write stays', async (t) => {
  const { options, read, writeConfig, writeToken } = await makeNode(t)
  await writeToken()
  await installOnNode(options)
  writeFileSync(join(options.root, '/etc/tb/vault-ca.pem'), 'of an administrator')
  t.notOk((await removeFromNode(options)).changed.includes('/etc/tb/vault-ca.pem'))
  t.equal(read('/etc/tb/vault-ca.pem'), 'of an administrator')
  mkdirSync(join(options.root, '/etc/kubernetes/pki'), { recursive: true })
  writeConfig(CONFIG.replace('/etc/tb/vault-ca.pem', '/etc/kubernetes/pki/ca.crt'))
  await installOnNode(options)
  t.notOk((await removeFromNode(options)).changed.includes('/etc/kubernetes/pki/ca.crt'))
  t.not(read('/etc/kubernetes/pki/ca.crt'), '', 'others may use a file elsewhere')
})

void test('without the folder of static pods, nothing is removed', async (t) => {
  const { options, read, writeToken } = await makeNode(t)
  await writeToken()
  await installOnNode(options)
  for (const wrong of [{ root: `${options.root}/typo` }, { manifestFolder: '/other' }])
    await t.rejects(removeFromNode({ ...options, ...wrong }), {
      code: 'HOST_FAILED',
      message: /--manifests: .*: there is no such file; nothing was removed; check --root/,
    })
  await t.rejects(removeFromNode({ ...options, manifestFolder: '/etc/tb/token' }), {
    message: /is not a folder/,
  })
  t.equal(read('/etc/tb/config.yaml'), CONFIG)
})

void test('a CA file with the same content that was on the host before is neither written nor removed', async (t) => {
  const { options, read, writeToken } = await makeNode(t)
  await writeToken()
  const before = join(options.root, '/etc/tb/vault-ca.pem')
  writeFileSync(before, 'the CA\n')
  const { changed } = await installOnNode(options)
  t.same(changed, ['/etc/tb/token', '/etc/tb/config.yaml', MANIFEST])
  const removed = await removeFromNode(options)
  t.same(removed.changed, [MANIFEST, '/etc/tb/config.yaml', '/etc/tb/token'])
  t.equal(read('/etc/tb/vault-ca.pem'), 'the CA\n')
})

void test('a CA file that was written is marked as such, and TLS reads it', async (t) => {
  const { options, read, writeToken } = await makeNode(t)
  await writeToken()
  const { caPem } = await CertificateAuthority.create()
  writeFileSync(String(options.caSource), caPem)
  await installOnNode(options)
  t.equal(read('/etc/tb/vault-ca.pem'), `# written by transit-bridge install-node\n${caPem}`)
  const { ca } = await readTlsFiles({ caFile: join(options.root, '/etc/tb/vault-ca.pem') })
  t.doesNotThrow(() => createSecureContext({ ca }))
})

void test('links on the host lead to folders of the host, never out of its root', async (t) => {
  const { options, read, writeToken } = await makeNode(t)
  await writeToken()
  const outside = tempFolder('outside')
  for (const path of ['manifests', 'etc']) mkdirSync(join(outside, path))
  const at = (path: string) => join(options.root, path)
  for (const path of ['manifests', 'etc/tb']) rmSync(at(path), { recursive: true })
  mkdirSync(at('var/lib/manifests'), { recursive: true })
  // As on a host with a read-only /etc: absolute, and by way of another link that also climbs out.
  symlinkSync('/var/lib/manifests', at('manifests'))
  symlinkSync('/state/tb', at('etc/tb'))
  symlinkSync(`../../../../../../../../..${outside}/etc`, at('state'))
  mkdirSync(join(at(outside), 'etc/tb'), { recursive: true })
  await installOnNode(options)
  t.match(read('/var/lib/manifests/transit-bridge-kms.yaml'), /kind: Pod/)
  t.equal(read(`${outside}/etc/tb/config.yaml`), CONFIG)
  t.same(readdirSync(join(outside, 'manifests')), [])
  t.same(readdirSync(join(outside, 'etc')), [])
  t.equal((await removeFromNode(options)).changed.length, 4)

  rmSync(at('manifests'))
  symlinkSync('manifests', at('manifests'))
  await t.rejects(installOnNode(options), {
    code: 'HOST_FAILED',
    message: /too many symbolic links/,
  })
  rmSync(at('manifests'))
  symlinkSync(join(outside, 'manifests'), at('manifests'))
  await t.rejects(installOnNode(options), { code: 'HOST_FAILED', message: /does not exist/ })
  t.same(readdirSync(join(outside, 'manifests')), [])
})
