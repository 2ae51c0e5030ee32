import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { Prometheus } from '../../real/cluster/prometheus.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import type { CsiPod } from '../../real/cluster/csi-driver.ts'
import type { CsiVault } from '../../real/vault/csi-vault.ts'
import { makeKey, writePolicy } from '../../real/vault/transit-setup.ts'
import { Kubelet } from '../../csi/runtime/fixture.ts'
import { RULE, startCsiStack, type CsiStack } from '../csi/csi-stack.ts'
import { startCluster, startPlugin, type Cluster, type Scope } from '../cluster.ts'

const RULES = join(import.meta.dirname, '../../../helm/transit-bridge/rules/transit-bridge.yaml')

/** With less than half a day left, an alert fires. */
const TOKEN_LIFE_SECONDS = 7 * 86_400

export type WatchedOptions = {
  /** Milliseconds between two rounds of the load. */
  between?: number
  /** Only the first one has an API server; the others have local keys. Default: 2. */
  plugins?: number
  /** The file with the alerts that Prometheus evaluates. Default: the chart's. */
  rules?: string
}
/** A test, or the stack of a script that prints comments. */
export type WatchedScope = Scope & { comment(text: string): void }
export type WatchedStack = { kms: Cluster; csi: CsiStack; prometheus: Prometheus }

/** Local keys that survive a restart; the node key is in a file of the test. */
function withLocalKeys(): Record<string, unknown> {
  const folder = tempFolder('sealed')
  const nodeKeyFile = join(folder, 'node-key')
  writeFileSync(nodeKeyFile, randomBytes(32), { mode: 0o400 })
  return { localKeys: { enabled: true, sealedFile: join(folder, 'local-keys'), nodeKeyFile } }
}

/** Plugin, provider and API server under a load that never stops, a Vault with TLS, and a Prometheus that scrapes them. */
export async function startWatchedStack(
  t: WatchedScope,
  { between = 50, plugins = 2, rules = RULES }: WatchedOptions = {},
): Promise<WatchedStack> {
  const lasting = { expiresIn: 400 * 86_400 }
  const tls = await (
    await CertificateAuthority.create('Vault CA', lasting)
  ).server('vault', lasting)
  const kms = await startCluster(t, { tls, tokenLife: TOKEN_LIFE_SECONDS })
  const others = await Promise.all(
    Array.from({ length: plugins - 1 }, () =>
      startPlugin(t, kms.vault, kms.proxy, withLocalKeys()),
    ),
  )
  const csi = await startWorkload(t, between)
  let count = 0
  keepDoing(t, between, () => loadKms(kms, (count += 1)))
  const targets = [
    ...[kms.plugin, ...others].map((plugin, index) => ({
      job: 'transit-bridge',
      address: `127.0.0.1:${String(plugin.adminPort)}`,
      labels: { instance: `cp-${String(index + 1)}`, component: 'kms' },
    })),
    {
      job: 'transit-bridge-csi',
      address: `127.0.0.1:${String(csi.provider.adminPort)}`,
      labels: { instance: 'worker-1', component: 'csi' },
    },
    {
      job: 'kube-apiserver',
      address: new URL(kms.api.address).host,
      labels: { instance: 'cp-1' },
      tls: { caFile: kms.api.caFile, token: kms.api.adminToken },
    },
  ]
  const prometheus = await Prometheus.start(targets, [rules])
  t.teardown(() => prometheus.stop())
  return { kms, csi, prometheus }
}

/**
 * Runs something again and again until the test ends. A round that fails is reported and does not end the load: on a slow
 * machine, a call can exceed its deadline. A test that needs the load sees what is missing.
 */
function keepDoing(t: WatchedScope, between: number, work: () => Promise<void>): void {
  const end = new AbortController()
  const run = async () => {
    while (!end.signal.aborted) {
      await work().catch((error: unknown) => {
        if (!end.signal.aborted) t.comment(`the load: ${String(error)}`)
      })
      await pause(between)
    }
  }
  const running = run()
  t.teardown(async () => {
    end.abort()
    await running
  })
}

/** What an API server and its plugin do all day, faster. */
async function loadKms({ api, plugin }: Cluster, count: number): Promise<void> {
  const name = `load-${String(count)}`
  await api.createSecret('default', name, { value: name })
  await api.getSecret('default', name)
  const { ciphertext, keyId, annotations } = await plugin.client.encrypt(Buffer.alloc(32, count))
  await plugin.client.decrypt({ ciphertext, keyId, annotations })
  await api.readyz('kms-providers')
}

/** What vault-policies/csi.hcl does not allow: an operation at run time. */
async function allowHash(vault: CsiVault): Promise<void> {
  await writePolicy(vault.bao, 'hash', 'path "transit/hash" { capabilities = ["update"] }')
  const subjects = ['system:serviceaccount:shop:*']
  await vault.writeRole({ role: 'web', subjects, policies: ['csi', 'more-keys', 'hash'] })
}

async function startWorkload(t: WatchedScope, between: number): Promise<CsiStack> {
  const folder = tempFolder('rt')
  const socket = join(folder, 'csi.sock')
  const rules = [{ ...RULE, operations: ['hash'] }]
  const registrationSocket = join(folder, 'reg.sock')
  const runtime = { enabled: true, socket, registrationSocket, stateFolder: join(folder, 's') }
  const stack = await startCsiStack(t, { csi: { rules, runtime } })
  const { cluster, vault } = stack
  await allowHash(vault)
  await makeKey(vault.bao, 'app-signing', { type: 'ecdsa-p256' })
  await makeKey(vault.bao, 'app-data')
  const ciphertext = await vault.encrypt('app-data', 'a password')
  await cluster.writeClass({
    name: 'web',
    objects: [
      { path: 'signing.pem', type: 'publicKey', key: 'app-signing' },
      { path: 'password', type: 'decrypt', key: 'app-data', ciphertext },
    ],
  })
  const pod = await cluster.createPod({ name: 'web-0', classes: 'web' })
  await cluster.publish(pod, 'web')
  const tokens = async (of: CsiPod) => JSON.stringify(await cluster.tokens(of))
  const kubelet = new Kubelet({ tokens }, socket, folder)
  t.teardown(() => kubelet.close())
  keepDoing(t, between, async () => {
    await cluster.publish(pod, 'web')
    const volume = await kubelet.publish(pod)
    await volume.ask('transit/hash', { body: { input: 'YQ==' } })
  })
  return stack
}
