import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'

import { create, toBinary } from '@bufbuild/protobuf'

import { KeyManagementService } from '../../src/gen/kms/v2/api_pb.ts'
import { encodeAssociatedData, makeAnnotations } from '../../src/seed/annotations.ts'
import { CertificateAuthority } from '../../test/real/host/pki.ts'
import type { WrappedSeed } from '../../test/real/program/kms-client.ts'
import { Plugin, type PluginConfiguration } from '../../test/real/program/plugin.ts'
import type { Wrap } from '../../test/real/program/served-program.ts'
import { KEY, KmsVault } from '../../test/real/vault/kms-vault.ts'
import { DirectTransit } from '../direct-transit.ts'
import { GrpcLoad } from '../grpc-load.ts'
import { PeerPlugin } from './peer-plugin.ts'

export type Kind =
  | 'direct'
  | 'directAsRoot'
  | 'decrypt'
  | 'encrypt'
  | 'localDecrypt'
  | 'localEncrypt'
  | 'status'
  | 'peerDecrypt'
  | 'peerEncrypt'
  | 'peerStatus'

/** The calls to measure, ready to be repeated. Those of the peer exist only if there is one. */
export type Calls = ReadonlyMap<Kind, () => Promise<unknown>>

export type SubjectOptions = {
  /** Vault has neither TLS nor an audit file. */
  readonly plain: boolean
  readonly peer?: string | undefined
  /** Changes the command lines of the plugins. */
  readonly wrap?: Wrap
  /** Concurrent direct calls. */
  readonly callers: number
}

/** What one run compares: a real OpenBao, direct clients of it, a plugin without and one with local keys, and a peer. */
export class Subjects {
  readonly vault: KmsVault
  readonly plugin: Plugin
  readonly localPlugin: Plugin
  readonly calls: Calls
  /** An encoded Decrypt request of the plugin without local keys. */
  readonly decryptRequest: Uint8Array
  readonly #ends: (() => Promise<unknown>)[]

  static async start(options: SubjectOptions): Promise<Subjects> {
    const ends: (() => Promise<unknown>)[] = []
    try {
      return await startAll(options, ends)
    } catch (error) {
      for (const end of ends.toReversed()) await end()
      throw error
    }
  }

  constructor(
    started: Pick<Subjects, 'vault' | 'plugin' | 'localPlugin' | 'calls' | 'decryptRequest'>,
    ends: (() => Promise<unknown>)[],
  ) {
    this.vault = started.vault
    this.plugin = started.plugin
    this.localPlugin = started.localPlugin
    this.calls = started.calls
    this.decryptRequest = started.decryptRequest
    this.#ends = ends
  }

  async stop(): Promise<void> {
    for (const end of this.#ends.toReversed()) await end()
  }
}

/** A configuration as the chart writes it. */
export function configure(vault: KmsVault, kms: Record<string, unknown> = {}): PluginConfiguration {
  return { ...vault.configuration(undefined, kms), log: { level: 'info' } }
}

async function startAll(
  { plain, peer: binary, wrap, callers }: SubjectOptions,
  ends: (() => Promise<unknown>)[],
): Promise<Subjects> {
  const tls = plain ? undefined : await (await CertificateAuthority.create()).server()
  const vault = await KmsVault.start({ audit: !plain, ...(tls === undefined ? {} : { tls }) })
  ends.push(() => vault.stop())
  const startPlugin = async (kms: Record<string, unknown>) => {
    const started = await Plugin.launch(configure(vault, kms), wrap)
    ends.push(() => started.stop())
    await started.waitForSocket()
    await started.waitForHealth('ok')
    return started
  }
  const plugin = await startPlugin({})
  const localPlugin = await startPlugin({ localKeys: { enabled: true } })
  const calls = new Map<Kind, () => Promise<unknown>>()

  const wrapped = await plugin.client.encrypt(randomBytes(32))
  const ca = tls === undefined ? undefined : readFileSync(tls.caFile, 'utf8')
  const ciphertext = Buffer.from(wrapped.ciphertext).toString('latin1')
  const associatedData = encodeAssociatedData(makeAnnotations('test-cluster')).toString('base64')
  for (const [kind, token] of [
    ['direct', await vault.login()],
    ['directAsRoot', vault.bao.rootToken],
  ] as const) {
    const direct = new DirectTransit(vault.bao.address, token, callers, ca)
    ends.push(() => direct.close())
    calls.set(kind, () => direct.decrypt(KEY, ciphertext, associatedData))
  }

  const decryptRequest = encodeDecrypt(wrapped)
  const localWrapped = await localPlugin.client.encrypt(randomBytes(32))
  calls.set('status', await openCall(plugin.socket, 'Status', new Uint8Array()))
  calls.set('encrypt', await openCall(plugin.socket, 'Encrypt', encodeEncrypt()))
  calls.set('decrypt', await openCall(plugin.socket, 'Decrypt', decryptRequest))
  calls.set('localEncrypt', await openCall(localPlugin.socket, 'Encrypt', encodeEncrypt()))
  calls.set(
    'localDecrypt',
    await openCall(localPlugin.socket, 'Decrypt', encodeDecrypt(localWrapped)),
  )

  if (binary !== undefined) {
    const peer = await PeerPlugin.start(binary, vault, { caFile: tls?.caFile })
    ends.push(() => peer.stop())
    calls.set('peerStatus', await openCall(peer.socket, 'Status', new Uint8Array()))
    calls.set('peerEncrypt', await openCall(peer.socket, 'Encrypt', encodeEncrypt()))
    const seed = await peer.client.encrypt(randomBytes(32))
    calls.set('peerDecrypt', await openCall(peer.socket, 'Decrypt', encodeDecrypt(seed)))
  }
  return new Subjects({ vault, plugin, localPlugin, calls, decryptRequest }, ends)
}

/** A call of a KMS v2 method on a connection of its own. */
export async function openCall(
  socket: string,
  method: 'Status' | 'Encrypt' | 'Decrypt',
  request: Uint8Array,
): Promise<() => Promise<void>> {
  const path = `/${KeyManagementService.typeName}/${method}`
  const connection = await GrpcLoad.open(socket, path, request)
  return () => connection.call()
}

function encodeEncrypt(): Uint8Array {
  const { input } = KeyManagementService.method.encrypt
  return toBinary(input, create(input, { plaintext: randomBytes(32), uid: 'bench' }))
}

function encodeDecrypt(seed: WrappedSeed): Uint8Array {
  const { input } = KeyManagementService.method.decrypt
  return toBinary(input, create(input, { ...seed, uid: 'bench' }))
}
