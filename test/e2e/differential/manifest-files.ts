import { stringify } from 'yaml'

import { dress, edit, write } from './edits.ts'
import type { Random } from './random.ts'

/** A static pod manifest near what installers write. */
export function makeManifest(random: Random): string {
  const text = dress(random, write(random, makePod(random)))
  return random.chance(30) ? edit(random, text) : text
}

const FILE = '/etc/kubernetes/enc/config.yaml'

function makePod(random: Random): unknown {
  const container = {
    name: odd(random, 'kube-apiserver', ['api', 7]),
    image: 'registry.k8s.io/kube-apiserver:v1.37.2',
    ...makeWords(random),
    ...(random.chance(10) ? { env: [{ name: 'FILE', value: FILE }] } : {}),
    volumeMounts: [
      {
        name: 'enc',
        mountPath: odd(random, '/etc/kubernetes/enc', [FILE, '/etc/kubernetes/enc/', 7]),
      },
      {
        name: 'run',
        mountPath: '/run/transit-bridge',
        ...(random.chance(10) ? { subPath: 'sub' } : {}),
      },
    ],
  }
  const other = { name: 'other', image: 'x', command: ['sleep'] }
  return {
    apiVersion: odd(random, 'v1', ['v2', '', null]),
    kind: odd(random, 'Pod', ['PodList', 'pod', '']),
    metadata: {
      name: 'kube-apiserver',
      namespace: 'kube-system',
      ...(random.chance(3) ? { creationTimestamp: null } : {}),
    },
    spec: {
      hostNetwork: true,
      containers: random.chance(20) ? [other, container] : [container],
      volumes: odd(random, makeVolumes(random), [null, [], 'x']),
      ...(random.chance(5) ? { unknown: 1 } : {}),
    },
    status: {},
  }
}

function makeVolumes(random: Random): readonly unknown[] {
  return [
    {
      name: 'enc',
      hostPath: {
        path: odd(random, '/etc/kubernetes/enc', ['/srv/enc/', 7]),
        type: 'DirectoryOrCreate',
      },
    },
    random.chance(90)
      ? { name: 'run', hostPath: { path: '/run/transit-bridge' } }
      : { name: 'run', emptyDir: {} },
  ]
}

function makeWords(random: Random): object {
  const flags = [
    ...random.pick([
      [`--encryption-provider-config=${FILE}`],
      ['--encryption-provider-config', FILE],
      [`--encryption_provider_config=${FILE}`],
      ['--encryption-provider-config=$(FILE)'],
      ['--encryption-provider-config=$$(FILE)'],
      [`--encryption-provider-config=/old`, `--encryption-provider-config=${FILE}`],
      [],
    ]),
    ...random.pick([
      ['--encryption-provider-config-automatic-reload=true'],
      ['--encryption-provider-config-automatic-reload'],
      ['--encryption-provider-config-automatic-reload=T'],
      ['--encryption-provider-config-automatic-reload=false'],
      [],
    ]),
    ...random.pick([['--allow-privileged'], ['--v', '2'], ['--v=2'], ['-v', '2'], []]),
  ]
  const all = ['--etcd-servers=https://127.0.0.1:2379', ...flags, '--secure-port=6443']
  switch (random.below(6)) {
    case 0:
      return { command: ['kube-apiserver'], args: all }
    case 1:
      return { command: ['/usr/local/bin/kube-apiserver', ...all] }
    case 2:
      return {
        command: [
          '/go-runner',
          '--log-file=/var/log/kube-apiserver.log',
          '--',
          '/usr/local/bin/kube-apiserver',
          ...all,
        ],
      }
    default:
      return { command: ['kube-apiserver', ...all] }
  }
}

function odd(random: Random, usual: unknown, others: readonly unknown[]): unknown {
  return random.chance(3) ? random.pick(others) : usual
}

/** Manifests as tools write them, with what they say. */
export const REAL_MANIFESTS: readonly string[] = [
  // kubeadm and kubespray: a list of words in YAML.
  pod({ command: ['kube-apiserver', `--encryption-provider-config=${FILE}`, '--v=2'] }),
  // kops: go-runner writes the log.
  pod({
    command: [
      '/go-runner',
      '--log-file=/var/log/kube-apiserver.log',
      '--also-stdout',
      '/usr/local/bin/kube-apiserver',
    ],
    args: [`--encryption-provider-config=${FILE}`],
  }),
  // RKE2: arguments apart from the command, and its file name.
  pod({
    command: ['kube-apiserver'],
    args: [
      '--admission-control-config-file=/etc/rancher/rke2/rke2-pss.yaml',
      `--encryption-provider-config=${FILE}`,
      '--encryption-provider-config-automatic-reload=true',
    ],
  }),
  // GCE: JSON.
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'kube-apiserver', namespace: 'kube-system' },
    spec: {
      hostNetwork: true,
      containers: [
        {
          name: 'kube-apiserver',
          image: 'x',
          command: [
            '/go-runner',
            '--log-file=/var/log/kube-apiserver.log',
            '/usr/local/bin/kube-apiserver',
            '--allow-privileged=true',
            `--encryption-provider-config=${FILE}`,
          ],
          volumeMounts: [{ name: 'srvkube', mountPath: '/etc/srv/kubernetes', readOnly: true }],
        },
      ],
      volumes: [{ name: 'srvkube', hostPath: { path: '/etc/srv/kubernetes' } }],
    },
  }),
  'apiVersion: v1\nkind: PodList\nitems: []\n',
  'kind: Deployment\napiVersion: apps/v1\n',
  '',
]

function pod(words: object): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'kube-apiserver', namespace: 'kube-system', annotations: { a: 'b' } },
    spec: {
      containers: [
        {
          name: 'kube-apiserver',
          image: 'x',
          ...words,
          volumeMounts: [{ name: 'k8s', mountPath: '/etc/kubernetes', readOnly: true }],
        },
      ],
      hostNetwork: true,
      priorityClassName: 'system-node-critical',
      volumes: [{ name: 'k8s', hostPath: { path: '/etc/kubernetes', type: 'DirectoryOrCreate' } }],
    },
  })
}
