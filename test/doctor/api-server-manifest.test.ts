import { test } from 'tap'
import { stringify } from 'yaml'

import { readManifest } from '../../src/doctor/api-server-manifest.ts'

function pod(container: object, more: object = {}): string {
  const containers = [{ name: 'kube-apiserver', image: 'x', ...container }]
  return stringify({ apiVersion: 'v1', kind: 'Pod', spec: { containers, ...more } })
}

const FILE = '/etc/enc.yaml'
const FLAG = 'encryption-provider-config'

/** Ways to start kube-apiserver that manifests have; test/e2e/differential asks the kubelet about those without a shell. */
const COMMANDS: readonly (readonly [what: string, container: object])[] = [
  ['words', { command: ['kube-apiserver', `--${FLAG}=${FILE}`] }],
  ['a value that is a separate word', { command: ['kube-apiserver', `--${FLAG}`, FILE] }],
  ['underscores', { command: ['kube-apiserver'], args: [`--encryption_provider_config=${FILE}`] }],
  ['the entry point of the image', { args: [`--${FLAG}=${FILE}`] }],
  [
    'go-runner',
    { command: ['/go-runner', '--log-file=x', '/bin/kube-apiserver', `--${FLAG}=${FILE}`] },
  ],
  [
    'a variable',
    { command: ['kube-apiserver', `--${FLAG}=$(F)`], env: [{ name: 'F', value: FILE }] },
  ],
  [
    'a shell of older kops and GCE',
    {
      command: [
        '/bin/sh',
        '-c',
        `mkfifo /tmp/p; exec /usr/local/bin/kube-apiserver --v=2 --${FLAG}="${FILE}" > /tmp/p 2>&1`,
      ],
    },
  ],
  [
    'a shell with quotes',
    { args: ['-c', `exec kube-apiserver '--${FLAG}=${FILE}' --v=2; sleep 1`] },
  ],
]

void test('the flags of kube-apiserver are found in every form', (t) => {
  for (const [what, container] of COMMANDS)
    t.equal(readManifest(pod(container))?.flags.get(FLAG), FILE, what)
  const script = `exec kube-apiserver --v=2 >>log 2>&1 --${FLAG}=${FILE}`
  t.equal(readManifest(pod({ command: ['sh', '-c', script] }))?.flags.get(FLAG), undefined)
  t.equal(readManifest(pod({ args: ['--', `--${FLAG}=x`] }))?.flags.get(FLAG), undefined)
  t.end()
})

void test('paths of the host, through subPath and the innermost mount', (t) => {
  const mounts = [
    { name: 'a', mountPath: '/etc/', subPath: 'b' },
    { name: 'c', mountPath: '/etc/enc.d' },
    { name: 'none', mountPath: '/tmp' },
    { name: 'a', mountPath: '/x', subPathExpr: '$(X)' },
  ]
  const volumes = [
    { name: 'a', hostPath: { path: '/srv/a/' } },
    { name: 'c', hostPath: { path: '/srv/c' } },
    { name: 'none', emptyDir: {} },
  ]
  const manifest = readManifest(pod({ args: ['--v=2'], volumeMounts: mounts }, { volumes }))
  t.equal(manifest?.hostPathOf('/etc/x'), '/srv/a/b/x')
  t.equal(manifest?.hostPathOf('/etc/enc.d/x'), '/srv/c/x')
  t.equal(manifest?.hostPathOf('/tmp/x'), undefined)
  t.equal(manifest?.hostPathOf('/x/y'), undefined)
  t.ok(manifest?.isMountPoint('/etc'))
  t.end()
})

void test('JSON is read; anything but a static pod of kube-apiserver is ignored', (t) => {
  const container = { name: 'kube-apiserver', command: ['kube-apiserver', `--${FLAG}=${FILE}`] }
  const json = { apiVersion: 'v1', kind: 'Pod', spec: { containers: [container] } }
  t.equal(readManifest(JSON.stringify(json))?.flags.get(FLAG), FILE)
  const others = [
    '',
    '{"kind": "Pod",}',
    'kind: Deployment\napiVersion: apps/v1\n',
    stringify({ ...json, kind: 'PodList' }),
    stringify({ ...json, apiVersion: 'v2' }),
    stringify({ ...json, spec: { containers: 'x' } }),
    stringify({ ...json, spec: { containers: [{ name: 'etcd', command: ['etcd'] }] } }),
  ]
  for (const text of others) t.equal(readManifest(text), undefined, text)
  t.end()
})
