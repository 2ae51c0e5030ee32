import { randomBytes } from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'

import { Resources } from '../faults/resources.ts'
import { ALLOW_ALL } from '../csi/fixture.ts'
import { newPod, PodVault, ROLE } from '../csi/pod-vault.ts'
import {
  ALLOW_RUNTIME,
  DRIVER,
  Kubelet,
  RUNTIME_POLICY,
  type PodSocket,
} from '../csi/runtime/fixture.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { Plugin } from '../real/program/plugin.ts'
import { Provider } from '../real/program/provider.ts'
import type { ServedProgram } from '../real/program/served-program.ts'
import { findSecret } from '../real/program/told-secrets.ts'
import { KmsVault } from '../real/vault/kms-vault.ts'

/** A running program that is attacked, and an honest client of it. */
export interface Subject {
  readonly program: ServedProgram
  readonly resources: Resources
  /** Throws unless an honest client is served. */
  readonly serveHonestClient: () => Promise<void>
  readonly stop: () => Promise<void>
}

export interface Pods extends Subject {
  readonly pod: PodSocket
}

/** The built plugin with a real OpenBao. */
export async function startPlugin(): Promise<Subject> {
  const vault = await KmsVault.start({ audit: false })
  const plugin = await Plugin.start(vault.configuration(vault.bao.address, { clusterId: 'prod' }))
  await plugin.waitForHealth('ok')
  const seed = randomBytes(32)
  const envelope = await plugin.client.encrypt(seed)
  const serveHonestClient = async () => {
    const { healthz } = await plugin.client.status()
    if (healthz !== 'ok') throw new Error(`Status says ${healthz}`)
    if (!(await plugin.client.decrypt(envelope)).equals(seed)) throw new Error('wrong plaintext')
    const { status, text } = await plugin.admin('/readyz')
    if (status !== 200) throw new Error(`/readyz: ${text}`)
  }
  await serveHonestClient()
  return {
    program: plugin,
    resources: new Resources(plugin),
    serveHonestClient,
    stop: async () => {
      await plugin.stop()
      await vault.stop()
    },
  }
}

/** The built provider with a pod that has a run-time socket, and a real OpenBao. */
export async function startPods(): Promise<Pods> {
  const vault = await PodVault.start()
  await vault.makeKey('app')
  await vault.enableRole(ROLE, RUNTIME_POLICY)
  const folder = tempFolder('fz')
  const socket = join(folder, 'csi.sock')
  mkdirSync(join(folder, 's'))
  const provider = await Provider.start(tempFolder('providers'), {
    vault: { address: vault.bao.address },
    csi: {
      audience: 'vault',
      rules: [{ ...ALLOW_ALL }, { ...ALLOW_RUNTIME, types: undefined }],
      runtime: {
        enabled: true,
        driverName: DRIVER,
        socket,
        registrationSocket: join(folder, 'reg.sock'),
        stateFolder: join(folder, 's'),
        nodeName: 'node-1',
        maxRequestsPerSecond: 100_000,
      },
    },
  })
  await provider.program.waitForSocket(socket)
  const kubelet = new Kubelet(vault, socket, folder)
  const pod = await kubelet.publish(newPod())
  const honest = await kubelet.publish(newPod({ namespace: 'honest' }))
  const serveHonestClient = async () => {
    const { status, text } = await honest.ask('transit/encrypt/app', {
      body: { plaintext: 'aGVsbG8=' },
    })
    if (status !== 200) throw new Error(`encrypt: ${String(status)} ${text}`)
    const { status: ready, text: why } = await provider.admin('/readyz')
    if (ready !== 200) throw new Error(`/readyz: ${why}`)
  }
  await serveHonestClient()
  return {
    program: provider,
    pod,
    resources: new Resources(provider),
    serveHonestClient,
    stop: async () => {
      kubelet.close()
      await provider.stop()
      await vault.stop()
    },
  }
}

/** What the log of a program may not contain: faults of the program itself. */
export function findLogFault(program: ServedProgram): string | undefined {
  const fault = program
    .logLines()
    .find(
      ({ level, msg, code }) =>
        level === 'error' ||
        level === 'fatal' ||
        code === 'INTERNAL' ||
        /unhandled|internal error/i.test(String(msg)),
    )
  return fault && `the log says ${JSON.stringify(fault)}`
}

const STACK =
  /\bat (?:\S+ \()?(?:file:|node:|\/)\S+:\d+:\d+|node_modules|TypeError|RangeError|ReferenceError/

/** What no answer may contain. */
export function findTextFault(answer: string): string | undefined {
  if (STACK.test(answer)) return `a response contains a stack trace: ${answer.slice(0, 500)}`
  // A pod may see its own ciphertexts.
  const secret = findSecret(answer.replaceAll('vault:v', ''))
  return secret === undefined ? undefined : `an answer contains ${secret}`
}
