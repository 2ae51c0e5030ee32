import { copyFileSync, writeFileSync } from 'node:fs'
import { createHmac } from 'node:crypto'
import { join } from 'node:path'
import { PodVault, ROLE } from '../../csi/pod-vault.ts'
import { DRIVER, Kubelet, PodSocket, RUNTIME_POLICY } from '../../csi/runtime/fixture.ts'
import { Stage } from '../../faults/stage.ts'
import type { Surroundings } from '../../faults/fault.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { Plugin } from '../../real/program/plugin.ts'
import { Provider } from '../../real/program/provider.ts'
import { rememberSecret } from '../../real/program/told-secrets.ts'
import { KmsVault } from '../../real/vault/kms-vault.ts'
import { CsiMember, makePods } from './csi-member.ts'
import type { Findings } from '../watch/findings.ts'
import { HandedOut } from '../load/handed-out.ts'
import { KeyVersions } from '../load/key-versions.ts'
import type { Member, PluginName } from './member.ts'
import { PluginMember } from './plugin-member.ts'
import { PodRecords } from '../load/pod-records.ts'
import { Plaintexts } from '../random.ts'
import { TlsFront } from './tls-front.ts'
import { DATA_KEY, SIGNING_KEY, VolumeClass } from '../load/volume-class.ts'

const MOUNTING_PODS = 6
const SOCKET_PODS = 4
/** So short that tokens are renewed and logins happen all the time. */
export const KMS_TOKEN_TTL = '1m'
const POD_TOKEN_TTL = '2m'
/** So few that a plugin creates local keys all the time. */
const MAX_USES = 300

/** Everything that takes part in a run. */
export interface World {
  readonly pods: PodVault
  readonly kms: KmsVault
  readonly versions: KeyVersions
  readonly handedOut: HandedOut
  readonly podRecords: PodRecords
  readonly plugins: readonly PluginMember[]
  readonly csi: CsiMember
  readonly members: readonly Member[]
  readonly findings: Findings
}

export async function openWorld(seed: string, findings: Findings): Promise<World> {
  const pods = await PodVault.start()
  const kms = await KmsVault.start({ bao: pods.bao, issuer: pods.issuer, ttl: KMS_TOKEN_TTL })
  await kms.writeToken({ expiresIn: 7 * 86_400 })
  await enablePods(pods)
  await pods.makeKey(SIGNING_KEY, 'ecdsa-p256')
  await pods.makeKey(DATA_KEY)
  const versions = new KeyVersions(pods.bao)
  await versions.refresh()
  const folder = tempFolder('soak')
  const plaintexts = new Plaintexts(seed)
  rememberSecret(plaintexts.mark)
  const handedOut = new HandedOut(join(folder, 'kms'), plaintexts)
  const podRecords = new PodRecords(join(folder, 'pods'), () => handedOut.nextPlaintext())
  const shared = { kms, versions, handedOut, findings }
  const plugins = [
    await startPlugin('sealed file', { kms: sealedFile(seed), hasFront: false }, shared),
    await startPlugin('local keys', { kms: LOCAL_KEYS, hasFront: true }, shared),
    await startPlugin('Transit only', { kms: {}, hasFront: false, kind: 'clock' }, shared),
  ]
  const csi = await startCsi(pods, plaintexts, findings)
  const members = [...plugins, csi]
  return { pods, kms, versions, handedOut, podRecords, plugins, csi, members, findings }
}

/** The login role of the pods and its policy. */
export function enablePods(pods: PodVault): Promise<void> {
  return pods.enableRole(ROLE, RUNTIME_POLICY, { ttl: POD_TOKEN_TTL })
}

export async function closeWorld(world: World): Promise<void> {
  for (const { plugin } of world.plugins) plugin.client.close()
  world.csi.close()
  for (const member of world.members) {
    await member.kill()
    await member.front?.stop()
    await member.stage.close()
  }
  world.handedOut.close()
  world.podRecords.close()
  await world.pods.stop()
}

const LOCAL_KEYS = {
  localKeys: { enabled: true, maxUses: MAX_USES, maxAge: '10m' },
  decryptCache: { enabled: true },
}

function sealedFile(seed: string): Record<string, unknown> {
  const folder = tempFolder('sealed')
  const nodeKeyFile = join(folder, 'node-key')
  const nodeKey = createHmac('sha256', seed).update('node key').digest()
  rememberSecret(nodeKey)
  writeFileSync(nodeKeyFile, nodeKey, { mode: 0o400 })
  const file = { sealedFile: join(folder, 'local-keys'), nodeKeyFile }
  return { localKeys: { ...LOCAL_KEYS.localKeys, ...file } }
}

interface Shape {
  readonly kms: Record<string, unknown>
  readonly hasFront: boolean
  readonly kind?: Surroundings
}

type Shared = Pick<World, 'kms' | 'versions' | 'handedOut' | 'findings'>

async function startPlugin(
  name: PluginName,
  { kms, hasFront, kind = 'proxy' }: Shape,
  shared: Shared,
): Promise<PluginMember> {
  const tokenFile = join(tempFolder('identity'), 'token')
  copyFileSync(shared.kms.tokenFile, tokenFile)
  const stage = await Stage.open({ kind, bao: shared.kms.bao, tokenFile })
  const front = hasFront ? await TlsFront.start(stage.network.port) : undefined
  const document = shared.kms.configuration(stage.network.address, {
    refreshInterval: '1s',
    outageGrace: '0s',
    ...kms,
  })
  const auth = { ...(document.vault['auth'] as object), tokenFile }
  const configuration = {
    ...document,
    vault: { ...document.vault, ...front?.vaultSection, auth },
    log: { level: 'info' },
  }
  const program = await Plugin.launch(configuration, stage.wrap)
  await program.waitForSocket()
  return new PluginMember({ name, program, stage, front, tokenFile, ...shared })
}

async function startCsi(
  vault: PodVault,
  plaintexts: Plaintexts,
  findings: Findings,
): Promise<CsiMember> {
  const stage = await Stage.open({ kind: 'proxy', bao: vault.bao })
  const front = await TlsFront.start(stage.network.port)
  const folder = tempFolder('rt')
  const socket = join(folder, 'csi.sock')
  const program = await Provider.start(
    tempFolder('providers'),
    {
      vault: front.vaultSection,
      csi: { audience: 'vault', rules: RULES, runtime: runtimeSection(folder, socket) },
      log: { level: 'info' },
    },
    undefined,
    stage.wrap,
  )
  const mounting = []
  for (const pod of makePods('files', MOUNTING_PODS)) {
    const volumeClass = await VolumeClass.create(vault, pod.serviceAccount, plaintexts.mark)
    mounting.push({ pod, volumeClass })
  }
  const kubelet = new Kubelet(vault, socket, folder)
  const withSockets = makePods('sockets', SOCKET_PODS).map((pod) => ({
    pod,
    socket: new PodSocket(join(kubelet.targetOf(pod), 'vault.sock')),
  }))
  const options = { name: 'CSI', program, stage, front, findings } as const
  return new CsiMember({ ...options, vault, kubelet, mounting, withSockets })
}

const RULES = [
  {
    namespaces: ['shop'],
    serviceAccounts: ['*'],
    roles: [ROLE],
    keys: ['app-*'],
    types: ['publicKey', 'jwks', 'decrypt'],
    operations: ['sign', 'verify', 'encrypt', 'decrypt', 'random'],
  },
]

function runtimeSection(folder: string, socket: string): Record<string, unknown> {
  return {
    enabled: true,
    driverName: DRIVER,
    socket,
    registrationSocket: join(folder, 'reg.sock'),
    stateFolder: join(folder, 's'),
    nodeName: 'node-1',
    maxRequestsPerSecond: 1_000,
  }
}
