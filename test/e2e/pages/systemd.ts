// docs/operations/systemd.md, and the commands of upgrade.md for systemd, block by block as they are written there, on a clean host.
import { copyFileSync, existsSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { machine } from '../../../scripts/release/machine.ts'
import { buildTarball } from '../../../scripts/release/tarball.ts'
import type { Etcd } from '../../real/cluster/etcd.ts'
import type { KubeApiServer } from '../../real/cluster/kube-api-server.ts'
import { ServiceAccountIssuer } from '../../real/cluster/service-account.ts'
import type { OpenBao } from '../../real/vault/openbao.ts'
import {
  onCleanHost,
  startApiServer,
  startEtcd,
  startVault,
  writeBlock,
} from '../node/clean-host.ts'
import { Reader } from './reader.ts'

const KUBECONFIG = '/etc/kubernetes/admin.conf'
const TOKEN = '/etc/transit-bridge/token'

type Parts = { bao: OpenBao; etcd: Etcd; signer: ServiceAccountIssuer; reader: Reader }

/** A control-plane host, whose kube-apiserver the test restarts. */
class Host {
  readonly #t: Test
  readonly #parts: Parts
  #api: KubeApiServer | undefined

  constructor(t: Test, parts: Parts) {
    this.#t = t
    this.#parts = parts
  }

  async install(t: Test): Promise<void> {
    const first = await this.#restartServer([])
    await first.createSecret('default', 'before', { password: 'correct horse' })
    const { reader } = this.#parts
    await buildTarball(reader.folder, machine())
    copyFileSync('/etc/transit-bridge/vault-ca.pem', join(reader.folder, 'vault-ca.pem'))
    rmSync('/etc/transit-bridge', { recursive: true })

    await reader.types('commands: install')
    writeBlock(reader.block('example: configuration'))
    t.match(
      await reader.types('commands: check'),
      /config\.yaml: ok/,
      '2: the configuration is right',
    )
    t.match(await reader.types('commands: setup'), /k8s-etcd/, '3: Vault is ready')
    t.match(await reader.types('commands: plugin'), /ok/, '4: the plugin serves')
    t.equal(statSync(TOKEN).mode & 0o777, 0o600)
    await reader.types('commands: encryption')
    writeBlock(reader.block('example: order'))
    await reader.types('commands: server')
    t.match(reader.systemctl(), /restart kube-apiserver\n$/)
    const api = await this.#restartServer(reader.block('example: flags').text.trim().split('\n'))
    await api.createSecret('default', 'after', { password: 'correct horse' })
    const shown = await reader.types('commands: verify')
    t.match(shown, /ok: \d+ objects read, nothing in plaintext that must be encrypted/)
    t.notMatch(shown, /^fail /m, '6: doctor finds nothing to fix')
    for (const name of ['before', 'after'])
      t.match(await this.#stored(name), /^k8s:enc:kms:v2:transit-bridge:/, name)
  }

  async upgrade(t: Test): Promise<void> {
    const { reader } = this.#parts
    reader.turnTo('operations/upgrade.md')
    t.match(await reader.types('commands: upgrade'), /config\.yaml: ok.*kms\.sock: ok/s)
    t.match(await this.#secret('after'), { password: 'correct horse' })
  }

  async uninstall(t: Test): Promise<void> {
    const { reader } = this.#parts
    writeBlock(reader.block('example: plaintext'))
    const flag = '--encryption-provider-config=/etc/kubernetes/encryption/config.yaml'
    await this.#restartServer([flag])
    t.notMatch(await reader.types('commands: decrypt'), /transit key versions needed by/)
    for (const name of ['before', 'after'])
      t.match(await this.#stored(name), /^k8s\0[^]*correct horse/, `${name} is plaintext`)
    await this.#restartServer([])
    await reader.types('commands: uninstall')
    for (const file of [TOKEN, '/opt/transit-bridge', '/run/transit-bridge/kms.sock'])
      t.notOk(existsSync(file), file)
    const left = readdirSync('/etc/systemd/system').filter((name) =>
      name.includes('transit-bridge'),
    )
    t.strictSame(left, [])
    t.match(
      await this.#secret('after'),
      { password: 'correct horse' },
      'the cluster works without it',
    )
    const { data } = await this.#parts.bao.api('LIST', 'transit/keys')
    t.strictSame(data.keys, ['k8s-etcd'], 'etcd snapshots need the key')
  }

  async #restartServer(flags: string[]): Promise<KubeApiServer> {
    await this.#api?.stop()
    this.#api = await startApiServer(this.#t, this.#parts.etcd, this.#parts.signer, flags)
    return this.#api
  }

  async #secret(name: string): Promise<unknown> {
    const { body } = await (this.#api as KubeApiServer).request(
      'GET',
      `/api/v1/namespaces/default/secrets/${name}`,
    )
    const entries = Object.entries((body as { data: Record<string, string> }).data)
    return Object.fromEntries(
      entries.map(([key, value]) => [key, Buffer.from(value, 'base64').toString()]),
    )
  }

  async #stored(name: string): Promise<string> {
    const value = await this.#parts.etcd.get(`/registry/secrets/default/${name}`)
    return value?.toString('latin1') ?? ''
  }
}

await onCleanHost(import.meta.filename, async (t) => {
  const signer = await ServiceAccountIssuer.create()
  const [bao, etcd] = await Promise.all([startVault(t), startEtcd(t)])
  const reader = await Reader.open(t, 'operations/systemd.md', bao, KUBECONFIG)
  const host = new Host(t, { bao, etcd, signer, reader })
  await t.test('systemd.md', (t) => host.install(t))
  await t.test('upgrade.md: upgrade', (t) => host.upgrade(t))
  await t.test('upgrade.md: uninstall', (t) => host.uninstall(t))
})
