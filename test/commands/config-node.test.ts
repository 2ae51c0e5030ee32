import { spawnSync } from 'node:child_process'
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { delimiter, dirname, join, normalize } from 'node:path'
import { isDeepStrictEqual as isEqual } from 'node:util'
import { test, type Test } from 'tap'
import { parse } from 'yaml'

import { VALID } from '../config/valid-config.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { runHere } from '../setup/fixture.ts'

const FULL = VALID.replace('  timeout: 2s', '  caFile: /etc/transit-bridge/ca.pem')

const HOST = ['--host-config', '/etc/transit-bridge/config.yaml']

async function print(t: Test, shape: string, ...more: readonly string[]) {
  const config = join(t.testdir({ 'config.yaml': FULL }), 'config.yaml')
  const place = [...HOST]
  if (!more.includes('--program')) place.push('--program', '/opt/tb/bin/transit-bridge')
  return runHere(['config', 'node', '--shape', shape, '--config', config, ...place, ...more])
}

const PROBE = [
  '/usr/bin/node',
  '/app/dist/transit-bridge.cjs',
  'probe',
  '--socket',
  '/run/transit-bridge/kms.sock',
]
const POD = {
  hostNetwork: true,
  automountServiceAccountToken: false,
  containers: [
    {
      args: ['kms', '--config', '/etc/transit-bridge/config.yaml'],
      startupProbe: { exec: { command: PROBE } },
      livenessProbe: { exec: { command: PROBE } },
      securityContext: {
        readOnlyRootFilesystem: true,
        allowPrivilegeEscalation: false,
        capabilities: { drop: ['ALL'] },
      },
    },
  ],
  volumes: [
    { name: 'socket', hostPath: { path: '/run/transit-bridge', type: 'DirectoryOrCreate' } },
    { hostPath: { path: '/etc/transit-bridge' } },
    { hostPath: { path: '/run/secrets' } },
  ],
}

void test('the static pod needs nothing from an API server', async (t) => {
  const { code, stdout } = await print(t, 'static-pod', '--image', 'registry.example.com/tb:1')
  t.equal(code, 0)
  const pod = parse(stdout) as { spec: { containers: { image: string }[] } }
  t.match(pod, { kind: 'Pod', spec: POD })
  t.equal(pod.spec.containers[0]?.image, 'registry.example.com/tb:1')
  t.notMatch(stdout.replaceAll(/^#.*/gm, ''), /serviceAccountName|configMap|secretName/)
})

void test('a socket with kms.socketGroup needs one capability, and no more', async (t) => {
  const text = FULL.replace('socketMode: "0600"', 'socketMode: "0660"\n  socketGroup: kube')
  const config = join(t.testdir({ 'config.yaml': text }), 'config.yaml')
  const { stdout } = await runHere(['config', 'node', '--shape', 'static-pod', '--config', config])
  t.match(parse(stdout), {
    spec: {
      containers: [{ securityContext: { capabilities: { drop: ['ALL'], add: ['CHOWN'] } } }],
    },
  })
})

void test('with a sealed file, pod and unit may write to its folder, and read the node key', async (t) => {
  const text = FULL.replace(
    'localKeys: {',
    'localKeys: {sealedFile: /var/lib/tb/local-keys, nodeKeyFile: /run/tb-node-key/key, ',
  )
  const config = join(t.testdir({ 'config.yaml': text }), 'config.yaml')
  const shape = async (name: string) =>
    (await runHere(['config', 'node', '--shape', name, '--config', config, ...HOST])).stdout
  const { spec } = parse(await shape('static-pod')) as {
    spec: { containers: { volumeMounts: object[] }[]; volumes: object[] }
  }
  const mounts = spec.containers[0]?.volumeMounts ?? []
  t.ok(mounts.some((each) => isEqual(each, { name: 'state', mountPath: '/var/lib/tb' })))
  t.ok(
    mounts.some(
      (each) => 'mountPath' in each && each.mountPath === '/run/tb-node-key' && 'readOnly' in each,
    ),
  )
  const state = { name: 'state', hostPath: { path: '/var/lib/tb', type: 'DirectoryOrCreate' } }
  t.ok(spec.volumes.some((each) => isEqual(each, state)))
  const nodeKey = { path: '/run/tb-node-key', type: 'DirectoryOrCreate' }
  t.ok(spec.volumes.some((each) => 'hostPath' in each && isEqual(each.hostPath, nodeKey)))
  t.match(await shape('systemd'), /^StateDirectory=tb\nStateDirectoryMode=0700$/m)
})

const SHARED_FOLDERS: readonly (readonly [about: string, from: string, to: string])[] = [
  ['the token is beside the socket', '/run/secrets/token', '/run/transit-bridge/token'],
  ['the socket is beside the configuration', '/run/transit-bridge/', '/etc/transit-bridge/'],
  ['one path has two slashes', '/run/transit-bridge/', '/etc//transit-bridge/'],
  [
    'the sealed file is beside the configuration',
    'localKeys: {',
    'localKeys: {sealedFile: /etc/transit-bridge/keys, nodeKeyFile: /run/node-key/key, ',
  ],
  [
    'the sealed file is beside the socket',
    'localKeys: {',
    'localKeys: {sealedFile: /run/transit-bridge/keys, nodeKeyFile: /run/node-key/key, ',
  ],
]

void test('a folder that the plugin writes to is mounted once, and not as read-only', async (t) => {
  for (const [about, from, to] of SHARED_FOLDERS) {
    const config = join(t.testdir({ 'config.yaml': FULL.replace(from, to) }), 'config.yaml')
    const shape = async (name: string) =>
      (await runHere(['config', 'node', '--shape', name, '--config', config, ...HOST])).stdout
    const { spec } = parse(await shape('static-pod')) as {
      spec: {
        containers: { volumeMounts: { mountPath: string }[] }[]
        volumes: { hostPath: { path: string } }[]
      }
    }
    const paths =
      spec.containers[0]?.volumeMounts.map(({ mountPath }) => normalize(mountPath)) ?? []
    t.equal(new Set(paths).size, paths.length, `${about}: ${paths.join(' ')}`)
    t.same(
      spec.volumes.map(({ hostPath }) => normalize(hostPath.path)),
      paths,
    )
    const unit = await shape('systemd')
    const readOnly = /^ReadOnlyPaths=(.*)$/m.exec(unit)?.[1]?.split(' ') ?? []
    for (const line of unit.matchAll(/^(?:ReadWritePaths=-|RuntimeDirectory=)(.*)$/gm)) {
      const folder = (line[1] ?? '').replace(/^(?!\/)/, '/run/')
      t.notOk(readOnly.includes(`-${folder}`), `${about}: ${folder}`)
    }
  }
})

void test('a path with special characters means itself in the unit', async (t) => {
  const text = FULL.replace('/run/transit-bridge/', '/run/my 100% tb/').replace(
    'localKeys: {',
    'localKeys: {sealedFile: "/var/lib/my state/keys", nodeKeyFile: /run/node-key/key, ',
  )
  const config = join(t.testdir({ 'config.yaml': text }), 'config.yaml')
  const host = ['--host-config', '/etc/my ${HOME}/config.yaml']
  const unit = await runHere(['config', 'node', '--shape', 'systemd', '--config', config, ...host])
  const lines = unit.stdout.split('\n')
  t.ok(lines.includes('RuntimeDirectory="my 100%% tb"'), unit.stdout)
  t.ok(lines.includes('StateDirectory="my state"'), unit.stdout)
  t.match(unit.stdout, 'kms --config "/etc/my $${HOME}/config.yaml"')
  // A colon separates the folder from a link to it.
  const colon = join(
    t.testdir({ 'config.yaml': FULL.replace('/run/transit-bridge/', '/run/a:b/') }),
    'config.yaml',
  )
  const other = await runHere(['config', 'node', '--shape', 'systemd', '--config', colon, ...HOST])
  t.match(other.stdout, /^ReadWritePaths=-\/run\/a:b$/m)
})

void test('the DaemonSet states its limits first', async (t) => {
  const { stdout } = await print(t, 'daemonset')
  t.match(
    stdout,
    /^# Use this shape only if an API server that does not depend on this plugin is always available/,
  )
  t.match(parse(stdout), {
    kind: 'DaemonSet',
    spec: {
      template: { spec: { ...POD, nodeSelector: { 'node-role.kubernetes.io/control-plane': '' } } },
    },
  })
})

void test('the unit starts before the kubelet and never gives up', async (t) => {
  const { stdout } = await print(t, 'systemd', '--program', '/opt/tb/bin/transit-bridge')
  for (const line of [
    'ExecStart=/opt/tb/bin/transit-bridge kms --config /etc/transit-bridge/config.yaml',
    'Before=kubelet.service k3s.service rke2-server.service',
    'Restart=always',
    'StartLimitIntervalSec=0',
    'RuntimeDirectory=transit-bridge',
    'NoNewPrivileges=yes',
  ]) {
    t.ok(stdout.split('\n').includes(line), line)
  }
})

void test('with kms.socketGroup the folder of the socket is open to the group', async (t) => {
  const { stdout } = await print(t, 'systemd')
  t.match(stdout, /^RuntimeDirectoryMode=0700$/m)
  t.notMatch(stdout, /^Group=/m)
  const text = FULL.replace('socketMode: "0600"', 'socketMode: "0660"\n  socketGroup: kube')
  const config = join(t.testdir({ 'config.yaml': text }), 'config.yaml')
  const unit = await runHere(['config', 'node', '--shape', 'systemd', '--config', config, ...HOST])
  t.match(unit.stdout, /^RuntimeDirectoryMode=0750$/m)
  t.match(unit.stdout, /^Group=kube$/m)
})

function isInstalled(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

const skip = isInstalled('systemd-analyze') ? false : 'systemd-analyze is not installed'
void test('systemd accepts the unit without a warning', { skip }, async (t) => {
  const { stdout } = await print(t, 'systemd', '--program', '/bin/sh')
  const file = join(t.testdir(), 'transit-bridge-kms.service')
  // The manual page is named, and need not be installed.
  writeFileSync(file, stdout.replace(/^Documentation=.*\n/m, ''))
  const {
    status,
    stdout: said,
    stderr,
  } = spawnSync('systemd-analyze', ['verify', file], { encoding: 'utf8' })
  const about = `${said}${stderr}`.split('\n').filter((line) => line.includes('transit-bridge'))
  t.strictSame({ status, about }, { status: 0, about: [] })
})

void test('a file that the sandbox of the unit hides is refused, with the folder and the reason', async (t) => {
  for (const shape of ['systemd', 'k3s', 'rke2']) {
    t.match(await print(t, shape, '--program', '/root/transit-bridge/bin/transit-bridge'), {
      code: 2,
      stdout: '',
      stderr:
        /the program \/root\/transit-bridge\/bin\/transit-bridge is in \/root, which the systemd unit cannot read \(ProtectHome=yes\); install it in \/opt or \/usr\/local/,
    })
  }
  t.match(await print(t, 'systemd', '--program', '/home/me/tb'), { code: 2, stderr: /in \/home, / })
  t.match(await print(t, 'systemd', '--program', '/tmp/tb'), {
    code: 2,
    stderr: /in \/tmp, .*PrivateTmp/,
  })
  t.match(await print(t, 'systemd', '--program', '/rootless/tb'), { code: 0 })
  t.match(await print(t, 'static-pod', '--program', '/root/tb'), { code: 0 })
  const config = join(
    t.testdir({ 'config.yaml': FULL.replace('/etc/transit-bridge/ca.pem', '/home/me/ca.pem') }),
    'config.yaml',
  )
  const run = (...more: string[]) =>
    runHere(['config', 'node', '--shape', 'systemd', '--config', config, ...more])
  t.match(await run(...HOST, '--program', '/opt/tb'), {
    code: 2,
    stderr: /\/home\/me\/ca\.pem in the configuration is in \/home/,
  })
  t.match(await run('--host-config', '/root/config.yaml', '--program', '/opt/tb'), {
    code: 2,
    stderr: /the configuration \/root\/config\.yaml is in \/root/,
  })
})

void test('a link into a folder that the sandbox hides is refused, too', async (t) => {
  mkdirSync(dirname(t.testdirName), { recursive: true })
  const folder = mkdtempSync(`${t.testdirName}-`)
  const hidden = mkdtempSync('/tmp/tb-hidden-')
  t.teardown(() => {
    for (const each of [folder, hidden]) rmSync(each, { recursive: true })
  })
  const program = join(folder, 'transit-bridge')
  symlinkSync(hidden, program)
  const { code, stderr } = await print(t, 'systemd', '--program', program)
  t.equal(code, 2)
  t.match(stderr, /is in \/tmp, which the systemd unit cannot read \(PrivateTmp=yes\)/)
})

void test('wrong usage is reported', async (t) => {
  t.match(await print(t, 'pod'), {
    code: 2,
    stderr: /--shape must be static-pod, systemd, k3s, rke2 or daemonset, not "pod"/,
  })
  t.match(await print(t, 'static-pod', '--image', 'a b'), {
    code: 2,
    stderr: /--image must be the name of an image/,
  })
  t.match(await print(t, 'systemd', '--program', 'bin/tb'), {
    code: 2,
    stderr: /--program must be a full path/,
  })
})

/** Runs the script that `config node` prints, in a folder in place of the root. */
function unpack(t: Test, script: string) {
  const unpacked = prepare(script)
  t.match(unpacked.run(), { status: 0, stderr: '' })
  return unpacked
}

function prepare(script: string) {
  const root = tempFolder('root')
  const moved = script.replaceAll(/(?<=(?:mkdir -p|cat >|! -e|mv|mv .*) '?)\//g, `${root}/`)
  const run = (before = '') => spawnSync('sh', { input: `${before}${moved}`, encoding: 'utf8' })
  const read = (file: string) => readFileSync(join(root, file), 'utf8')
  return { root, read, run }
}

const SYSTEM = '/etc/systemd/system/transit-bridge'
const ENCRYPTION = '/etc/transit-bridge/encryption/config.yaml'

void test('for k3s, a script writes the unit, the token timer, the account and the flags', async (t) => {
  const { code, stdout } = await print(t, 'k3s')
  t.equal(code, 0)
  const { root, read, run } = unpack(t, stdout)
  const unit = await print(t, 'systemd')
  t.equal(read(`${SYSTEM}-kms.service`), `${unit.stdout.trimEnd()}\n`)
  const service = read(`${SYSTEM}-token.service`)
  t.match(service, /^After=k3s.service$/m)
  t.match(service, /^TimeoutStartSec=2min$/m)
  t.match(service, /^Environment=TOKEN=\/run\/secrets\/token$/m)
  t.match(service, /-c 'k3s kubectl .* > "\$\$TOKEN.new" && sync .* && mv /)
  t.match(read(`${SYSTEM}-token.timer`), /^OnCalendar=hourly$/m)
  const account = read('/var/lib/rancher/k3s/server/manifests/transit-bridge.yaml')
  t.match(parse(account), { kind: 'ServiceAccount', metadata: { namespace: 'kube-system' } })
  t.strictSame(parse(read('/etc/transit-bridge/server.yaml')), {
    'kube-apiserver-arg+': [
      `encryption-provider-config=${ENCRYPTION}`,
      'encryption-provider-config-automatic-reload=true',
    ],
  })
  t.match(read(ENCRYPTION), /- kms:.*- identity: /s)
  t.equal(statSync(join(root, ENCRYPTION)).mode & 0o777, 0o600)
  writeFileSync(join(root, ENCRYPTION), 'a later step')
  run()
  t.equal(read(ENCRYPTION), 'a later step', 'a second run keeps a later step')
})

void test('a script that was interrupted writes everything when it runs again', async (t) => {
  const { read, run } = prepare((await print(t, 'k3s')).stdout)
  // As on a disk that is full: the file exists, and its content is missing.
  const fullDisk =
    'cat() { text=$(command cat); case $text in *EncryptionConfiguration*) return 1 ;; esac; echo "$text"; }\n'
  t.equal(run(fullDisk).status, 1)
  t.match(run(), { status: 0, stderr: '' })
  t.match(read(ENCRYPTION), /- kms:.*- identity: /s)
})

void test("for RKE2, the API server's pod gets mounts, and its own key stays readable", async (t) => {
  const { stdout } = await print(t, 'rke2')
  const { read } = unpack(t, stdout)
  t.match(read(`${SYSTEM}-token.service`), /^Environment=PATH=.*:\/var\/lib\/rancher\/rke2\/bin$/m)
  t.match(parse(read('/etc/transit-bridge/server.yaml')), {
    'kube-apiserver-extra-mount+': [
      '/etc/transit-bridge/encryption:/etc/transit-bridge/encryption:ro',
      '/run/transit-bridge:/run/transit-bridge',
    ],
  })
  t.match(read(ENCRYPTION), /step 1 of 4, read.*- aescbc: .*- kms:/is)
})

void test('a login without a service-account token needs no timer, and paths are quoted', async (t) => {
  const text = FULL.replace(
    /method: jwt\n.*\n.*/,
    'method: approle\n    roleIdFile: /etc/transit-bridge/role\n    secretIdFile: /etc/transit-bridge/secret',
  )
  const config = join(t.testdir({ 'config.yaml': text }), 'config.yaml')
  const place = ['--host-config', "/etc/it's here/config.yaml"]
  const { code, stdout, stderr } = await runHere([
    'config',
    'node',
    '--shape',
    'k3s',
    '--config',
    config,
    ...place,
  ])
  t.equal(code, 0, stderr)
  t.notMatch(stdout, /ServiceAccount|token/)
  t.match(stdout, String.raw`cat > '/etc/it'\''s here/server.yaml'`)
})
