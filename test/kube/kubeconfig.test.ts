import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { stringify } from 'yaml'

import { accessThrough } from '../../src/kube/access.ts'
import { findCluster } from '../../src/kube/find-cluster.ts'
import { impersonationHeaders } from '../../src/kube/impersonation.ts'
import { readKubeconfig } from '../../src/kube/kubeconfig.ts'
import { CertificateAuthority } from '../real/host/pki.ts'

const SECRET = 'a-token-that-nobody-may-see'

const base64 = (text: string) => Buffer.from(text).toString('base64')

function config(cluster: object, user: object, more: object = {}): string {
  return stringify({
    'current-context': 'a',
    contexts: [{ name: 'a', context: { cluster: 'c', user: 'u' } }],
    clusters: [{ name: 'c', cluster: { server: 'https://10.0.0.1:6443', ...cluster } }],
    users: [{ name: 'u', user }],
    ...more,
  })
}

void test('certificates and tokens inline, in files next to it, and by context', async (t) => {
  const authority = await CertificateAuthority.create()
  const files = await authority.client('client')
  const [cert, key] = [files.certFile, files.keyFile].map((file) => readFileSync(file, 'utf8'))
  if (cert === undefined || key === undefined) throw new Error('there is no certificate')
  const folder = t.testdir({
    inline: config(
      { 'certificate-authority-data': base64(authority.caPem), 'tls-server-name': 'api' },
      { 'client-certificate-data': base64(cert), 'client-key-data': base64(key) },
    ),
    files: config({ 'certificate-authority': 'ca.pem' }, { tokenFile: 'token' }),
    'ca.pem': authority.caPem,
    token: SECRET,
  })
  const inline = await readKubeconfig(join(folder, 'inline'))
  t.match(inline, {
    server: 'https://10.0.0.1:6443',
    ca: authority.caPem,
    serverNames: ['api'],
    tlsServerName: 'api',
    certificate: { cert },
  })
  t.equal(inline.certificate?.key.reveal(), key)
  t.notMatch(JSON.stringify(inline), 'PRIVATE KEY')
  const named = await readKubeconfig(join(folder, 'files'), 'a')
  t.match(named, { ca: authority.caPem, tokenFile: join(folder, 'token'), serverNames: [] })
  t.match(accessThrough(named, 'https://10.0.0.2:6443').serverNames, [
    '10.0.0.2',
    '10.0.0.1',
    'kubernetes.default.svc',
  ])
})

void test('each wrong kubeconfig is reported in words, without its contents', async (t) => {
  const user = { token: SECRET }
  const wrong: readonly (readonly [string, RegExp])[] = [
    [`{ token: ${SECRET}`, /is not YAML/],
    ['5', /is not a kubeconfig/],
    ['', /is empty or has no contexts; pass another file/],
    [config({}, user, { 'current-context': '' }), /has no current-context/],
    [config({}, user, { 'current-context': 'b' }), /has no context "b"/],
    [config({}, user, { clusters: [] }), /has no cluster "c"/],
    [config({}, user, { users: null }), /has no user "u"/],
    [config({ server: 'http://10.0.0.1' }, user), /has no server that starts with https/],
    [config({ 'insecure-skip-tls-verify': true }, user), /lets any server impersonate/],
    [config({ 'proxy-url': 'http://p' }, user), /has a proxy-url/],
    [
      config({ 'certificate-authority': '/nowhere' }, user),
      /certificate-authority \/nowhere cannot be read: there is no such file/,
    ],
    [
      config({}, { exec: { command: 'evil' } }),
      /user "u" logs in by an exec plugin, which this program does not support/,
    ],
    [config({}, { 'auth-provider': {} }), /by an auth-provider/],
    [config({}, { username: 'x', password: SECRET }), /has a password/],
    [config({}, { as: 7 }), /users\[0\]\.user\.as must be text, not a number/],
    [config({}, { 'as-groups': ['system:masters'] }), /without as; add as/],
    [config({}, user, { kind: 'Pod' }), /its kind is not Config/],
    [config({}, user, { contexts: ['a', 'a'].map((name) => ({ name, context: {} })) }), /twice/],
    [config({ 'certificate-authority-data': base64('x') }, user), /not a certificate in PEM/],
    [
      config({ 'certificate-authority-data': base64('x'), 'certificate-authority': 'x' }, user),
      /has both certificate-authority and certificate-authority-data/,
    ],
    [config({}, { tokenFile: 'none' }), /tokenFile .*none cannot be read/],
    [
      config({}, { 'client-certificate-data': base64('x'), 'client-key-data': base64('y') }),
      /damaged or do not match/,
    ],
    [
      config({}, { 'client-key-data': base64('x') }),
      /has only one of client-certificate and client-key/,
    ],
  ]
  for (const [text, message] of wrong) {
    const file = join(t.testdir({ config: text }), 'config')
    const error = await readKubeconfig(file).then(
      () => undefined,
      (thrown: unknown) => thrown as Error,
    )
    t.match(error, { code: 'CONFIG_INVALID', message })
    t.notMatch(error?.message, SECRET)
  }
})

void test('the cluster is found as kubectl finds it, or a message says how to name it', async (t) => {
  const folder = t.testdir({ '.kube': { config: config({}, { token: 'x' }) } })
  t.match(await findCluster({ environment: { HOME: folder } }), { server: 'https://10.0.0.1:6443' })
  const KUBECONFIG = join(folder, '.kube/config')
  t.match(await findCluster({ environment: { KUBECONFIG } }), { server: 'https://10.0.0.1:6443' })
  await t.rejects(findCluster({ environment: { KUBECONFIG: `${KUBECONFIG}:/b` } }), {
    message: /names several files/,
  })
  await t.rejects(findCluster({ environment: {} }), {
    code: 'USAGE_INVALID',
    message: /pass --kubeconfig FILE/,
  })
})

void test('as and its companions are the headers that kubectl sends', async (t) => {
  const user = {
    token: SECRET,
    as: 'system:serviceaccount:a:b',
    'as-uid': '1',
    'as-groups': ['a', 'é'],
    'as-user-extra': { 'example.com/scope%': ['x', 'z'] },
  }
  const file = join(t.testdir({ config: config({}, user) }), 'config')
  const { impersonation } = await readKubeconfig(file)
  t.strictSame(impersonationHeaders(impersonation), {
    'Impersonate-User': ['system:serviceaccount:a:b'],
    'Impersonate-Uid': ['1'],
    'Impersonate-Group': ['a', Buffer.from('é').toString('latin1')],
    'Impersonate-Extra-example.com%2Fscope%25': ['x', 'z'],
  })
  t.strictSame(impersonationHeaders(undefined), {})
})
