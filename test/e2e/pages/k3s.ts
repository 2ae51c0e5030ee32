// docs/operations/k3s.md, block by block as it is written there, on a clean host; kine is real, too, and holds SQLite.
import { copyFileSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import type { Test } from 'tap'
import { parse } from 'yaml'
import { Kine } from '../../real/cluster/kine.ts'
import { ServiceAccountIssuer } from '../../real/cluster/service-account.ts'
import type { OpenBao } from '../../real/vault/openbao.ts'
import { onCleanHost, startApiServer, startVault, writeBlock } from '../node/clean-host.ts'
import { installProgram, Reader } from './reader.ts'

const K3S = '/var/lib/rancher/k3s/server'

await onCleanHost(import.meta.filename, async (t) => {
  const signer = await ServiceAccountIssuer.create()
  const bao = await startVault(t)
  installProgram()
  await t.test('k3s.md', (t) => followK3s(t, bao, signer))
})

async function followK3s(t: Test, bao: OpenBao, signer: ServiceAccountIssuer): Promise<void> {
  mkdirSync(K3S, { recursive: true })
  mkdirSync('/etc/rancher/k3s', { recursive: true })
  const kine = await Kine.start({ socket: `${K3S}/kine.sock` })
  t.teardown(() => kine.stop())
  const kubeconfig = '/etc/rancher/k3s/k3s.yaml'
  const before = await startApiServer(t, kine, signer)
  copyFileSync('/etc/kubernetes/admin.conf', kubeconfig)
  await before.createSecret('default', 'before', { password: 'correct horse' })
  const reader = await Reader.open(t, 'operations/k3s.md', bao, kubeconfig)

  writeBlock(reader.block('example: configuration'))
  t.match(await reader.types('commands: setup'), /k8s-etcd/, '2: Vault is ready')

  const stop = new AbortController()
  const deployed = deployManifests(reader, stop.signal)
  t.match(await reader.types('commands: plugin'), /ok/, '3: the plugin serves')
  stop.abort()
  await deployed
  t.equal(statSync('/etc/transit-bridge/token').mode & 0o777, 0o600)
  t.match(readFileSync('/etc/transit-bridge/token', 'utf8'), /^ey/)
  t.notOk(existsSync('/etc/transit-bridge/token.new'))

  await reader.types('commands: server')
  t.match(reader.systemctl(), /restart k3s\n$/)
  const dropIn = readFileSync('/etc/rancher/k3s/config.yaml.d/transit-bridge.yaml', 'utf8')
  t.equal(dropIn, reader.block('example: flags').text, '4: the page shows the flags')
  const flags = (parse(dropIn) as Record<string, string[]>)['kube-apiserver-arg+'] ?? []
  await before.stop()
  const api = await startApiServer(
    t,
    kine,
    signer,
    flags.map((flag) => `--${flag}`),
  )
  copyFileSync('/etc/kubernetes/admin.conf', kubeconfig)
  await api.createSecret('default', 'after', { password: 'correct horse' })

  const shown = await reader.types('commands: verify')
  t.match(shown, /ok: \d+ objects read, nothing in plaintext that must be encrypted/)
  t.notMatch(shown, /^fail /m, '5: doctor finds nothing to fix')
}

/** The deploy controller of k3s, which applies the manifests in its folder. */
async function deployManifests(reader: Reader, signal: AbortSignal): Promise<void> {
  const manifest = `${K3S}/manifests/transit-bridge.yaml`
  const apply = { language: 'sh', text: `kubectl apply --filename ${manifest}` }
  while (!existsSync(manifest) && !signal.aborted) await setTimeout(50)
  if (!signal.aborted) await reader.administrator.types(apply)
}
