// How long a plugin takes to decrypt the DEK seeds of a cold API server, with a network to Vault in between: npm run bench:cold.
//
// Everything is real: OpenBao, the built program and gRPC over its unix socket. A proxy (slow-network.ts) delays Vault's responses. A
// kube-apiserver lists one resource after another, so it has one Decrypt at a time for each resource that it reads; since 1.37 it
// decodes watch events concurrently. The baseline is a client that sends the same decrypts to Transit itself.
import { randomBytes } from 'node:crypto'

import { create, toBinary } from '@bufbuild/protobuf'

import { KeyManagementService } from '../src/gen/kms/v2/api_pb.ts'
import { Plugin } from '../test/real/program/plugin.ts'
import { encodeAssociatedData, makeAnnotations } from '../src/seed/annotations.ts'
import { KEY, KmsVault } from '../test/real/vault/kms-vault.ts'
import { DirectTransit } from './direct-transit.ts'
import { GrpcLoad } from './grpc-load.ts'
import { load } from './latency.ts'
import { SlowNetwork } from './slow-network.ts'
import { milliseconds, printTable, type Row } from './table.ts'

const SEEDS = 3_000
const DELAYS_MS = [5, 50]
const CALLERS = [1, 30]
/** A direct call behind 50 ms takes as long as any other: fewer are enough. */
const DIRECT_CALLS = 200

type Conditions = {
  readonly network: SlowNetwork
  readonly delayMs: number
  readonly callers: number
  /** Milliseconds of a direct decrypt. */
  readonly direct: number
}

const vault = await KmsVault.start()
const rows: Row[] = []
try {
  for (const isLocal of [false, true]) {
    const seeds = await makeSeeds(isLocal)
    for (const delayMs of DELAYS_MS) {
      const network = await SlowNetwork.start(vault.bao.address, delayMs)
      const direct = await measureDirect(network)
      if (!isLocal) rows.push(directRow(delayMs, direct))
      for (const callers of CALLERS)
        rows.push(await measure(seeds, isLocal, { network, delayMs, callers, direct }))
      await network.stop()
    }
  }
  printTable(rows)
} finally {
  await vault.stop()
}

function configuration(isLocal: boolean, address: string) {
  const kms = { localKeys: { enabled: isLocal } }
  return { ...vault.configuration(address, kms), log: { level: 'info' } }
}

/** Encoded Decrypt requests for seeds that another plugin encrypted. */
async function makeSeeds(isLocal: boolean): Promise<readonly Uint8Array[]> {
  const plugin = await Plugin.start(configuration(isLocal, vault.bao.address))
  try {
    await plugin.waitForHealth('ok')
    const { input } = KeyManagementService.method.decrypt
    const requests: Uint8Array[] = []
    while (requests.length < SEEDS) {
      const { ciphertext, keyId, annotations } = await plugin.client.encrypt(randomBytes(32))
      requests.push(toBinary(input, create(input, { ciphertext, keyId, annotations })))
    }
    return requests
  } finally {
    await plugin.stop()
  }
}

/** Milliseconds of a decrypt request that a client sends to Transit through the same network, one after another. */
async function measureDirect(network: SlowNetwork): Promise<number> {
  const plugin = await Plugin.start(configuration(false, vault.bao.address))
  const wrapped = await plugin
    .waitForHealth('ok')
    .then(() => plugin.client.encrypt(randomBytes(32)))
  await plugin.stop()
  const direct = new DirectTransit(network.address, await vault.login(), 1)
  try {
    const ciphertext = Buffer.from(wrapped.ciphertext).toString('latin1')
    const associatedData = encodeAssociatedData(makeAnnotations('test-cluster')).toString('base64')
    const result = await load(1, DIRECT_CALLS, () =>
      direct.decrypt(KEY, ciphertext, associatedData),
    )
    return 1000 / result.perSecond
  } finally {
    await direct.close()
  }
}

function directRow(delayMs: number, direct: number): Row {
  const what = `a direct decrypt, ${String(delayMs)} ms to Vault, 1 at a time: each`
  return { what, value: milliseconds(direct), ratio: 1 }
}

async function measure(
  seeds: readonly Uint8Array[],
  isLocal: boolean,
  { network, delayMs, callers, direct }: Conditions,
): Promise<Row> {
  const plugin = await Plugin.start(configuration(isLocal, network.address))
  try {
    await plugin.waitForHealth('ok')
    const { typeName } = KeyManagementService
    const connection = await GrpcLoad.open(plugin.socket, `/${typeName}/Decrypt`, new Uint8Array())
    const since = vault.bao.auditMark()
    const startedAt = performance.now()
    let next = 0
    const run = async () => {
      while (next < seeds.length) await connection.call(seeds[next++])
    }
    await Promise.all(Array.from({ length: callers }, run))
    const seconds = (performance.now() - startedAt) / 1000
    connection.close()
    const requests = vault.bao.auditRequests({ since, path: /^transit\/decrypt\// }).length
    const mode = isLocal ? 'local keys' : 'Transit only'
    return {
      what: `${String(seeds.length)} DEK seeds, ${mode}, ${String(delayMs)} ms to Vault, ${String(callers)} at a time`,
      value: `${seconds.toFixed(2)} s, ${requests.toLocaleString('en')} ${requests === 1 ? 'request' : 'requests'}`,
      ratio: (seconds * 1000) / seeds.length / direct,
    }
  } finally {
    await plugin.stop()
  }
}
