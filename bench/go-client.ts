import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

import { KeyManagementService } from '../src/gen/kms/v2/api_pb.ts'
import { obtain } from '../test/real/host/parts.ts'
import { tempFolder } from '../test/real/host/temp-folder.ts'
import type { WrappedSeed } from '../test/real/program/kms-client.ts'
import { runToEnd } from '../test/real/program/run-to-end.ts'

const PROTO = join(import.meta.dirname, '../proto/kms/v2/api.proto')
/** kube-apiserver's default timeout of a call (apiserver: pkg/apis/apiserver/v1/defaults.go). */
const TIMEOUT = '3s'

/** The part of ghz's report that is used; times are in nanoseconds. */
type Report = {
  readonly average: number
  readonly statusCodeDistribution: Readonly<Record<string, number>>
}

/**
 * Decrypts seeds one after another over one connection with grpc-go, the gRPC library of kube-apiserver. Returns the mean time of a
 * call in milliseconds. ghz, which sends the calls, is built from source with Go.
 */
export async function decryptWithGo(
  socket: string,
  seeds: readonly WrappedSeed[],
): Promise<number> {
  const file = join(tempFolder('ghz'), 'requests.json')
  writeFileSync(file, JSON.stringify(seeds.map(toJson)))
  const method = `${KeyManagementService.typeName}.${KeyManagementService.method.decrypt.name}`
  const { code, stdout, stderr } = await runToEnd(await obtain('ghz'), [
    '--insecure',
    `--proto=${PROTO}`,
    `--call=${method}`,
    `--timeout=${TIMEOUT}`,
    '--concurrency=1',
    '--connections=1',
    `--total=${String(seeds.length)}`,
    `--data-file=${file}`,
    '--disable-template-data',
    '--disable-template-functions',
    '--format=json',
    `unix://${socket}`,
  ])
  if (code !== 0) throw new Error(`ghz ended with ${String(code)}: ${stderr}`)
  const { average, statusCodeDistribution } = JSON.parse(stdout) as Report
  if (statusCodeDistribution['OK'] !== seeds.length)
    throw new Error(`calls failed: ${JSON.stringify(statusCodeDistribution)}`)
  return average / 1e6
}

/** The JSON form of a DecryptRequest (protobuf.dev/programming-guides/json). */
function toJson({ ciphertext, keyId, annotations }: WrappedSeed): unknown {
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
  const texts = Object.entries(annotations).map(([name, value]) => [name, base64(value)])
  return {
    ciphertext: base64(ciphertext),
    uid: crypto.randomUUID(),
    keyId,
    annotations: Object.fromEntries(texts),
  }
}
