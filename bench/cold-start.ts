// How long a plugin takes to decrypt the DEK seeds of a cold API server, with a network to Vault in between: npm run bench:cold.
//
// Everything is real: OpenBao, the built program and gRPC over its unix socket. A proxy delays Vault's responses. A
// kube-apiserver lists one resource after another, so it has one Decrypt at a time for each resource that it reads.
import { randomBytes } from 'node:crypto'

import { create, toBinary } from '@bufbuild/protobuf'

import { KeyManagementService } from '../src/gen/kms/v2/api_pb.ts'
import { TcpProxy } from '../test/real/faults/tcp-proxy.ts'
import { Plugin } from '../test/real/program/plugin.ts'
import { KmsVault } from '../test/real/vault/kms-vault.ts'
import { GrpcLoad } from './grpc-load.ts'
import { printTable, type Row } from './table.ts'

const SEEDS = 3_000
const DELAYS_MS = [5, 50]
const CALLERS = [1, 64]

const vault = await KmsVault.start()
const proxy = await TcpProxy.start(vault.bao.address)
const rows: Row[] = []
try {
  for (const isLocal of [false, true]) {
    const seeds = await makeSeeds(isLocal)
    for (const delayMs of DELAYS_MS)
      for (const callers of CALLERS) rows.push(await measure(seeds, isLocal, delayMs, callers))
  }
  printTable(rows)
} finally {
  await proxy.stop()
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

async function measure(
  seeds: readonly Uint8Array[],
  isLocal: boolean,
  delayMs: number,
  callers: number,
): Promise<Row> {
  await proxy.pass()
  const plugin = await Plugin.start(configuration(isLocal, proxy.address))
  try {
    await plugin.waitForHealth('ok')
    await proxy.slow(delayMs)
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
    }
  } finally {
    await plugin.stop()
  }
}
