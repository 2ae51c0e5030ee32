import { join } from 'node:path'
import { test } from 'tap'
import { stringify } from 'yaml'

import { accessThrough } from '../../src/kube/access.ts'
import { findCluster } from '../../src/kube/find-cluster.ts'
import { readKubeconfig } from '../../src/kube/kubeconfig.ts'

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
  const folder = t.testdir({
    inline: config(
      { 'certificate-authority-data': base64('CA'), 'tls-server-name': 'api' },
      { 'client-certificate-data': base64('CERT'), 'client-key-data': base64('KEY') },
    ),
    files: config({ 'certificate-authority': 'ca.pem' }, { tokenFile: 'token' }),
    'ca.pem': 'CA of a file',
  })
  const inline = await readKubeconfig(join(folder, 'inline'))
  t.match(inline, {
    server: 'https://10.0.0.1:6443',
    ca: 'CA',
    serverNames: ['api'],
    certificate: { cert: 'CERT' },
  })
  t.equal(inline.certificate?.key.reveal(), 'KEY')
  t.notMatch(JSON.stringify(inline), 'KEY')
  const files = await readKubeconfig(join(folder, 'files'), 'a')
  t.match(files, { ca: 'CA of a file', tokenFile: join(folder, 'token'), serverNames: [] })
  t.match(accessThrough(files, 'https://10.0.0.2:6443').serverNames, [
    '10.0.0.2',
    '10.0.0.1',
    'kubernetes.default.svc',
  ])
})

const SECRET = 'a-token-that-nobody-may-see'

void test('each wrong kubeconfig is reported in words, without its contents', async (t) => {
  const user = { token: SECRET }
  const wrong: readonly (readonly [string, RegExp])[] = [
    [`{ token: ${SECRET}`, /is not YAML/],
    ['5', /is not a kubeconfig/],
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
    [config({}, { 'client-key-data': 'x' }), /has only one of client-certificate and client-key/],
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
