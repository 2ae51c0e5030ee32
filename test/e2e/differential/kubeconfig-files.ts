import { dress, edit, write } from './edits.ts'
import type { Random } from './random.ts'

/** What the kubeconfigs contain, made for each run. */
export interface Credentials {
  readonly ca: string
  readonly cert: string
  readonly key: string
  readonly otherKey: string
}

const base64 = (text: string) => Buffer.from(text).toString('base64')

/** A kubeconfig near what kubectl accepts. */
export function makeKubeconfig(random: Random, credentials: Credentials): string {
  const text = dress(random, write(random, makeDocument(random)))
  const edited = random.chance(30) ? edit(random, text) : text
  // Only now, so that the edits do not depend on the credentials and a seed always makes the same files.
  return Object.entries(credentials).reduce(
    (filled, [name, data]) => filled.replaceAll(`DATA-${name}`, base64(data as string)),
    edited,
  )
}

const [ca, cert, key, otherKey] = ['DATA-ca', 'DATA-cert', 'DATA-key', 'DATA-otherKey']

function makeDocument(random: Random): unknown {
  return {
    ...(random.chance(80) ? { apiVersion: odd(random, 'v1', ['v2', 'x/v1', 7, '']) } : {}),
    ...(random.chance(80) ? { kind: odd(random, 'Config', ['Pod', 'config', '', null]) } : {}),
    ...(random.chance(10) ? { preferences: random.pick([{}, { colors: true }, null, []]) } : {}),
    'current-context': odd(random, 'a', ['b', '', 'none', null, 1]),
    contexts: [
      { name: 'a', context: makeContext(random, 'c', 'u') },
      { name: random.chance(3) ? 'a' : 'b', context: makeContext(random, 'other', 'other') },
    ],
    clusters: [
      { name: 'c', cluster: makeCluster(random) },
      { name: random.chance(2) ? 'c' : 'other', cluster: makeCluster(random) },
    ],
    users: [
      { name: 'u', user: makeUser(random) },
      ...(random.chance(97) ? [{ name: 'other', user: makeUser(random) }] : []),
    ],
    ...(random.chance(5) ? { extra: 1 } : {}),
  }
}

function makeContext(random: Random, cluster: string, user: string): unknown {
  return {
    cluster: odd(random, cluster, ['none', '', null, 2]),
    user: odd(random, user, ['none', '', null, true]),
    ...(random.chance(20) ? { namespace: odd(random, 'default', ['Not Valid', 1]) } : {}),
  }
}

function makeCluster(random: Random): unknown {
  return {
    server: odd(
      random,
      random.pick([
        'https://10.0.0.1:6443',
        'https://api.example.com',
        'https://lb/k8s/',
        'https://[::1]:6443',
      ]),
      ['http://10.0.0.1', '10.0.0.1:6443', 'https://', '', 'HTTPS://a', 'https://a/?q=1', null, 1],
    ),
    ...random.pick([
      { 'certificate-authority-data': ca },
      { 'certificate-authority': 'ca.pem' },
      { 'certificate-authority': './ca.pem' },
      {},
    ]),
    ...(random.chance(15)
      ? { 'tls-server-name': odd(random, 'api.internal', ['', '10.0.0.1', 5]) }
      : {}),
    ...rarely(random, [
      { 'insecure-skip-tls-verify': random.pick([true, false, 'true', null]) },
      { 'proxy-url': random.pick(['http://proxy:3128', '', 'socks5://p', 'x://y', 7]) },
      { 'disable-compression': random.pick([true, 'x']) },
      { 'certificate-authority-data': random.pick(['', '!', 'bm9uZQ==', 5]) },
      { 'certificate-authority': random.pick(['', 'none.pem', 'garbage.pem', 5]) },
      { extensions: random.pick([[], [{ name: 'x', extension: { a: 1 } }], 'x', null]) },
    ]),
  }
}

function makeUser(random: Random): unknown {
  return {
    ...random.pick([
      { token: odd(random, 'abc', ['', null, 7, 'a b']) },
      { tokenFile: odd(random, 'token', ['none', '', null]) },
      { token: 'abc', tokenFile: 'token' },
      { 'client-certificate-data': cert, 'client-key-data': key },
      { 'client-certificate': 'cert.pem', 'client-key': 'key.pem' },
      { 'client-certificate': 'cert.pem', 'client-key-data': key },
      {},
    ]),
    ...(random.chance(15) ? makeImpersonation(random) : {}),
    ...rarely(random, [
      {
        exec: random.pick([
          null,
          {},
          'x',
          {
            apiVersion: 'client.authentication.k8s.io/v1',
            command: 'aws',
            interactiveMode: 'Never',
          },
        ]),
      },
      { 'auth-provider': random.pick([null, { name: 'gcp' }, 'x']) },
      { username: 'admin', password: 'p' },
      { password: 'p' },
      { username: '' },
      { 'client-key-data': otherKey },
      { 'client-certificate-data': cert },
      { 'client-certificate': 'garbage.pem' },
      { unknown: true },
    ]),
  }
}

function makeImpersonation(random: Random): object {
  return {
    ...(random.chance(85) ? { as: odd(random, 'system:serviceaccount:a:b', ['', 7, null]) } : {}),
    ...(random.chance(50) ? { 'as-groups': odd(random, ['a', 'b'], [[], null, 'a', [1]]) } : {}),
    ...(random.chance(30) ? { 'as-uid': odd(random, '1-2', [1, '']) } : {}),
    ...(random.chance(30)
      ? { 'as-user-extra': odd(random, { scope: ['x'] }, [{}, { a: 'x' }, []]) }
      : {}),
  }
}

function odd(random: Random, usual: unknown, others: readonly unknown[]): unknown {
  return random.chance(3) ? random.pick(others) : usual
}

function rarely(random: Random, options: readonly object[]): object {
  return random.chance(12) ? random.pick(options) : {}
}
