// The .deb package on a minimal Debian whose process 1 is a real systemd: the unit serves with its whole sandbox.
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'
import { machine } from '../../../scripts/release/machine.ts'
import { buildPackages } from '../../../scripts/release/packages.ts'
import { buildProgram, ROOT } from '../../commands/program.ts'
import { whyNoNode } from '../../real/cluster/kube-node.ts'
import { eventually } from '../../real/host/eventually.ts'
import { obtain } from '../../real/host/parts.ts'
import { SystemdHost } from '../../real/host/systemd-host.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { OpenBao } from '../../real/vault/openbao.ts'
import { enableTransit, makeKey } from '../../real/vault/transit-setup.ts'

const SOCKET = '/run/transit-bridge/kms.sock'
const CONFIG_FILE = '/etc/transit-bridge/config.yaml'

async function buildDeb(): Promise<string> {
  buildProgram()
  const folder = tempFolder('packages')
  mkdirSync(join(folder, 'work'))
  await buildPackages(folder, join(folder, 'work'), machine(), await obtain('nfpm'))
  const names = readdirSync(folder)
  return join(folder, names.find((name) => name.endsWith('.deb')) ?? '')
}

async function startHost(t: Test): Promise<{ host: SystemdHost; config: string }> {
  const bao = await OpenBao.start()
  t.teardown(() => bao.stop())
  await enableTransit(bao)
  await makeKey(bao, 'k8s-etcd')
  const host = await SystemdHost.create()
  t.teardown(() => host.stop())
  copyFileSync(await buildDeb(), join(host.root, 'root/transit-bridge.deb'))
  host.must('dpkg', '--install', '/root/transit-bridge.deb')
  const config = `vault: {address: "${bao.address}", auth: {method: token, tokenFile: /etc/transit-bridge/token}}
transit: {key: k8s-etcd}
kms: {clusterId: test, socket: ${SOCKET}}
admin: {listen: none}
`
  writeFileSync(join(host.root, CONFIG_FILE), config, { mode: 0o600 })
  writeFileSync(join(host.root, 'etc/transit-bridge/token'), bao.rootToken, { mode: 0o600 })
  await host.boot()
  return { host, config }
}

async function untilRoundTrip(host: SystemdHost): Promise<void> {
  await eventually('a round trip', () => {
    const { status } = host.run('transit-bridge', 'round-trip', '--socket', SOCKET)
    return status === 0
  })
}

void test('the package runs under systemd', { skip: whyNoNode() }, async (t) => {
  const { host, config } = await startHost(t)

  await t.test('the unit of the package serves, inside its sandbox', async (t) => {
    t.match(
      host.run('systemctl', 'is-active', 'transit-bridge-kms').stdout,
      'inactive',
      'not before it is configured',
    )
    host.must('systemctl', 'enable', '--now', 'transit-bridge-kms')
    await untilRoundTrip(host)
    const pid = host.must('systemctl', 'show', '-P', 'MainPID', 'transit-bridge-kms').trim()
    const status = readStatus(host.must('cat', `/proc/${pid}/status`))
    t.equal(status['NoNewPrivs'], '1')
    t.equal(status['Seccomp'], '2', 'system calls are filtered')
    t.equal(status['CapEff'], '0000000000000003', 'only CHOWN and DAC_OVERRIDE')
    const seen = `/proc/${pid}/root`
    t.equal(host.must('ls', '/root'), 'transit-bridge.deb\n')
    t.equal(host.must('ls', `${seen}/root`), '', 'ProtectHome')
    t.match(host.run('touch', `${seen}/usr/x`), { status: 1, stderr: /Read-only/ })
    t.equal(host.must('stat', '-c', '%a %U:%G', '/run/transit-bridge'), '700 root:root\n')
  })

  await t.test('it starts again after a crash', async (t) => {
    host.must('systemctl', 'kill', '--signal=KILL', 'transit-bridge-kms')
    await eventually('a restart', () => {
      const count = host.must('systemctl', 'show', '-P', 'NRestarts', 'transit-bridge-kms')
      return Number(count) > 0
    })
    await untilRoundTrip(host)
    t.pass()
  })

  await t.test('with kms.socketGroup, the group reaches the socket', async (t) => {
    const grouped = config.replace('clusterId', 'socketGroup: staff, socketMode: "0660", clusterId')
    writeFileSync(join(host.root, CONFIG_FILE), grouped)
    const node = ['config', 'node', '--shape', 'systemd', '--config', CONFIG_FILE]
    const unit = host.must('transit-bridge', ...node, '--program', '/usr/bin/transit-bridge')
    writeFileSync(join(host.root, 'etc/systemd/system/transit-bridge-kms.service'), unit)
    host.must('systemctl', 'daemon-reload')
    host.must('systemctl', 'restart', 'transit-bridge-kms')
    await untilRoundTrip(host)
    t.equal(host.must('stat', '-c', '%a %U:%G', '/run/transit-bridge'), '750 root:staff\n')
    t.equal(host.must('stat', '-c', '%a %U:%G', SOCKET), '660 root:staff\n')
  })

  await t.test(
    'an upgrade restarts the plugin, unless the new version refuses the file',
    async (t) => {
      // What dpkg runs after it has replaced the files.
      const script = '/var/lib/dpkg/info/transit-bridge.postinst'
      const upgrade = () => host.run('env', '--chdir=/', script, 'configure', '0.0.1')
      const mainPid = () => host.must('systemctl', 'show', '-P', 'MainPID', 'transit-bridge-kms')
      const dropIn = join(host.root, 'etc/systemd/system/transit-bridge-kms.service.d')
      mkdirSync(dropIn)
      writeFileSync(join(dropIn, 'variables.conf'), '[Service]\nEnvironment=CLUSTER=test\n')
      const accepted = config.replace('clusterId: test', 'clusterId: "${CLUSTER}"')
      writeFileSync(join(host.root, CONFIG_FILE), accepted)
      host.must('systemctl', 'daemon-reload')
      host.must('systemctl', 'restart', 'transit-bridge-kms')
      await untilRoundTrip(host)
      const before = mainPid()
      writeFileSync(join(host.root, CONFIG_FILE), `${accepted}removed: 1\n`)
      t.match(upgrade(), { status: 0, stderr: /removed.*the old version keeps running/s })
      t.equal(mainPid(), before)
      writeFileSync(join(host.root, CONFIG_FILE), accepted)
      t.match(upgrade(), { status: 0, stderr: '' })
      t.not(mainPid(), before)
      await untilRoundTrip(host)
    },
  )

  await t.test('the timer renews the token, and a failure keeps the old one', (t) => {
    // There is no cluster: a stand-in for kubectl prints a token, or fails.
    const token = join(host.root, 'etc/transit-bridge/token')
    const answer = (script: string, name = 'kubectl') => {
      const file = join(host.root, 'usr/local/bin', name)
      writeFileSync(file, `#!/bin/sh\n${script}\n`)
      chmodSync(file, 0o755)
    }
    answer('echo "new $*"')
    host.must('systemctl', 'start', 'transit-bridge-token.service')
    t.match(readFileSync(token, 'utf8'), /^new -n kube-system create token transit-bridge-kms/)
    t.equal(host.must('stat', '-c', '%a', '/etc/transit-bridge/token'), '600\n')
    answer('echo half; exit 1')
    t.match(host.run('systemctl', 'start', 'transit-bridge-token.service'), { status: 1 })
    t.match(readFileSync(token, 'utf8'), /^new /)
    answer('echo newer')
    answer('exit 1', 'sync')
    t.match(host.run('systemctl', 'start', 'transit-bridge-token.service'), { status: 1 })
    t.match(readFileSync(token, 'utf8'), /^new /, 'no token that is not on the disk')
    const limit = ['show', '-P', 'TimeoutStartUSec', 'transit-bridge-token.service']
    t.equal(host.must('systemctl', ...limit), '2min\n', 'a request that hangs ends')
    host.must('systemctl', 'enable', '--now', 'transit-bridge-token.timer')
    t.match(host.must('systemctl', 'list-timers', '--all'), /transit-bridge-token\.timer/)
    t.end()
  })

  await t.test('removing the package stops the plugin and leaves the configuration', (t) => {
    host.must('dpkg', '--remove', 'transit-bridge')
    t.match(host.run('systemctl', 'is-active', 'transit-bridge-kms'), { status: 3 })
    t.notOk(readdirSync(join(host.root, 'usr/lib')).includes('transit-bridge'))
    t.ok(readFileSync(join(host.root, CONFIG_FILE), 'utf8'))
    t.end()
  })
})

void test('the token units are those that the documentation shows', (t) => {
  const page = readFileSync(join(ROOT, 'docs/operations/systemd.md'), 'utf8')
  for (const name of ['transit-bridge-token.service', 'transit-bridge-token.timer'])
    t.ok(
      page.includes(
        `# /etc/systemd/system/${name}\n${readFileSync(join(ROOT, 'packaging', name), 'utf8')}`,
      ),
      name,
    )
  t.end()
})

function readStatus(text: string): Record<string, string> {
  return Object.fromEntries(text.split('\n').map((line) => line.split(/:\s+/) as [string, string]))
}
