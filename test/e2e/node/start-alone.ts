// A node that starts alone, without Vault, and then with Vault in one of its pods: npm run test:node-alone.
//
// etcd, kube-apiserver and the plugin are static pods, as kubeadm and the chart set them up, so each start is that of a kubelet
// with nothing else. The node key is the one of `setup node-key`, with the host key of systemd-creds (docs/availability.md).
import { cpSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

import { PROGRAM } from '../../commands/program.ts'
import { whyNoNode, type KubeNode } from '../../real/cluster/kube-node.ts'
import { hostPod } from '../../real/cluster/node/control-plane.ts'
import { obtain } from '../../real/host/parts.ts'
import { KmsClient } from '../../real/program/kms-client.ts'
import type { OpenBao } from '../../real/vault/openbao.ts'
import { parseStored } from '../stored.ts'
import {
  cutAndComeBack,
  install,
  SECRETS,
  startNodeWithVault,
  stored,
  waitForDaemonSet,
  writeEncryption,
} from './kms-node.ts'

const SEALED_FILE = '/var/lib/transit-bridge/local-keys'
const NODE_KEY_FILE = '/run/transit-bridge-node-key/key'
const VAULT = 'http://127.0.0.1:8200'
const PODS = '/api/v1/namespaces/vault/pods'
const SEEDS = 3
const LOCAL_KEYS = {
  enabled: 'true',
  sealedFile: SEALED_FILE,
  nodeKeyFile: NODE_KEY_FILE,
}

/** Prints the status and the text of an answer; fails if there is none. */
const FETCH = `fetch(process.argv[1]).then(async (answer) =>
  console.log('answer:', answer.status, await answer.text()))`

async function fetchInside(node: KubeNode, url: string): Promise<string | undefined> {
  const program = node.run(`fetch-${String(performance.now())}`, process.execPath, [
    '-e',
    FETCH,
    url,
  ])
  await program.ended()
  return /^answer: ([^]*)/m.exec(program.output())?.[1]?.trim()
}

const readyz = (node: KubeNode) => fetchInside(node, 'http://127.0.0.1:9390/readyz')

/** The API server can be up before the first check of the plugin has ended. */
async function waitForOutage(node: KubeNode): Promise<void> {
  await node.waitUntil('the plugin to notice that Vault does not answer', async () =>
    /^200 ok: local keys encrypt for \d+ more minutes without Vault/.test(
      (await readyz(node)) ?? '',
    ),
  )
}

async function statusOf(node: KubeNode) {
  const client = new KmsClient(node.pathOf('/run/transit-bridge/kms.sock'))
  try {
    return await client.status()
  } finally {
    client.close()
  }
}

/** Secrets that were written, and their passwords. */
class Secrets {
  readonly #node: KubeNode
  readonly #passwords = new Map<string, string>()

  constructor(node: KubeNode) {
    this.#node = node
  }

  async write(name: string): Promise<void> {
    const password = Buffer.from(crypto.randomUUID()).toString('base64')
    await this.#node.api('POST', SECRETS, { metadata: { name }, data: { password } })
    this.#passwords.set(name, password)
  }

  /** Through the API server, from etcd. */
  async read(): Promise<Map<string, string>> {
    const { items } = await this.#node.api('GET', SECRETS)
    const found = (items as { metadata: { name: string }; data?: Record<string, string> }[]).map(
      ({ metadata, data }): [string, string] => [metadata.name, data?.['password'] ?? ''],
    )
    return new Map(found.filter(([name]) => this.#passwords.has(name)))
  }

  get written(): ReadonlyMap<string, string> {
    return this.#passwords
  }
}

/** Waits until the sealed file contains the local key that the plugin made since its start. */
async function waitForSealedFile(node: KubeNode): Promise<void> {
  await node.waitUntil('the sealed file', () => {
    const madeAt = pluginLog(node).findLast(({ msg }) => msg === 'created a new local key')?.time
    if (madeAt === undefined) return false
    return statSync(node.pathOf(SEALED_FILE)).mtimeMs > new Date(madeAt).getTime()
  })
}

interface LogLine {
  readonly msg: string
  readonly time: string | number
}

/** The log of the container that runs now, as the kubelet keeps it. */
function pluginLog(node: KubeNode): readonly LogLine[] {
  const pods = node.pathOf('/var/log/pods')
  const pod = readdirSync(pods).find((name) => name.startsWith('kube-system_transit-bridge-kms-'))
  if (pod === undefined) return []
  const folder = join(pods, pod, 'kms')
  const name = readdirSync(folder)
    .toSorted((left, right) => parseInt(left) - parseInt(right))
    .at(-1)
  const lines = name === undefined ? [] : readFileSync(join(folder, name), 'utf8').split('\n')
  return lines.flatMap((line) => {
    const [, text] = /^\S+ \S+ F (\{.*\})$/.exec(line) ?? []
    return text === undefined ? [] : [JSON.parse(text) as LogLine]
  })
}

async function waitForVault(node: KubeNode): Promise<void> {
  await node.waitUntil('the plugin to reach Vault', async () => (await readyz(node)) === '200 ok')
}

/** Moves the data of Vault to the disk of the node, where a pod serves them at 127.0.0.1:8200. */
async function moveVaultInside(node: KubeNode, bao: OpenBao): Promise<object> {
  await bao.stop()
  const folder = join(node.folder, 'disk/vault')
  cpSync(bao.dir, folder, { recursive: true })
  const file = join(folder, 'openbao.hcl')
  const text = readFileSync(file, 'utf8')
  writeFileSync(file, text.replaceAll(`127.0.0.1:${String(bao.port)}`, '127.0.0.1:8200'))
  node.keepVaultInside()
  return hostPod({
    namespace: 'vault',
    name: 'openbao',
    command: [await obtain('bao'), 'server', '-config=openbao.hcl'],
    workingDir: folder,
    folders: [folder],
  })
}

/** What a person does after each start of Vault: it is in no Secret. */
async function unseal(node: KubeNode, bao: OpenBao): Promise<void> {
  const health = `${VAULT}/v1/sys/health`
  await node.waitUntil('Vault to ask for its key', async () =>
    Boolean((await fetchInside(node, health))?.startsWith('503')),
  )
  const { unsealKey } = JSON.parse(readFileSync(join(bao.dir, 'keys.json'), 'utf8')) as {
    unsealKey: string
  }
  const args = ['operator', 'unseal', `-address=${VAULT}`, unsealKey]
  await node.run('unseal', await obtain('bao'), args).finished()
}

async function isRunning(node: KubeNode): Promise<boolean> {
  const { status, body } = await node.request('GET', `${PODS}/openbao`)
  return status === 200 && body.status.containerStatuses?.[0]?.state?.running !== undefined
}

void test('a node starts alone, without Vault', { skip: whyNoNode() }, async (t) => {
  const { node, bao } = await startNodeWithVault(t)
  const secrets = new Secrets(node)
  const comeBack = async (what: string) =>
    t.comment(`${what}: ready ${(await cutAndComeBack(node)).toFixed(1)} s after the power came`)

  await t.test('with Vault, Secrets are written under several DEK seeds', async (t) => {
    const args = ['setup', 'node-key', '--with-key=host', '--yes']
    await node.run('setup-node-key', PROGRAM, args).finished()
    const settings = Object.entries(LOCAL_KEYS)
    await install(node, ...settings.map((each) => `kms.settings.localKeys.${each.join('=')}`))
    await waitForDaemonSet(node, 'transit-bridge-kms-installer')
    writeEncryption(node)
    node.useStaticPods()
    const seeds = new Set<string>()
    for (let start = 0; start < SEEDS; start += 1) {
      await comeBack('with Vault')
      const name = `seed-${String(start)}`
      await secrets.write(name)
      const value = parseStored(
        Buffer.from(await stored(node, `secrets/default/${name}`), 'latin1'),
      )
      if (value.format !== 'v2') throw new Error(`${name} is stored as ${value.format}`)
      t.ok('local-key.transit-bridge.internal' in value.annotations)
      seeds.add(value.source)
    }
    t.equal(seeds.size, SEEDS)
    await waitForSealedFile(node)
  })

  const before = await statusOf(node)
  t.match(before, { healthz: 'ok' })

  await t.test('without Vault, its API server comes up, reads and writes', async (t) => {
    await bao.kill()
    for (let start = 0; start < 2; start += 1) {
      await comeBack('without Vault')
      t.equal(await fetchInside(node, `${VAULT}/v1/sys/health`), undefined)
      t.same(await secrets.read(), secrets.written)
      await secrets.write(`alone-${String(start)}`)
      t.match(await stored(node, `secrets/default/alone-${String(start)}`), /^k8s:enc:kms:v2:/)
      t.same(await secrets.read(), secrets.written)
      t.same(await statusOf(node), before)
      await waitForOutage(node)
    }
  })

  await t.test('when Vault is back, the plugin is healthy with the same key id', async (t) => {
    await bao.restart()
    await waitForVault(node)
    t.same(await statusOf(node), before)
    t.same(await secrets.read(), secrets.written)
    await waitForSealedFile(node)
  })

  await t.test('Vault moves into a pod of this cluster', async (t) => {
    const pod = await moveVaultInside(node, bao)
    await comeBack('without Vault')
    await node.api('POST', '/api/v1/namespaces', { metadata: { name: 'vault' } })
    await node.waitUntil('the pod of Vault to be accepted', async () => {
      const { status } = await node.request('POST', PODS, pod)
      return status === 201
    })
    await node.waitUntil('the pod of Vault', () => isRunning(node))
    await unseal(node, bao)
    await waitForVault(node)
    await secrets.write('vault-inside')
    t.same(await secrets.read(), secrets.written)
    await waitForSealedFile(node)
  })

  await t.test('after a power cut: plugin, API server, Vault, and its first check', async (t) => {
    await comeBack('Vault in a pod')
    t.same(await secrets.read(), secrets.written, 'before Vault is unsealed')
    await secrets.write('before-vault')
    await waitForOutage(node)
    await unseal(node, bao)
    await waitForVault(node)
    t.same(await statusOf(node), before)
    t.same(await secrets.read(), secrets.written)
  })
})
