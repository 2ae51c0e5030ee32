import { join } from 'node:path'

import type { CsiConfig, CsiRuntimeConfig } from '../../config/config.ts'
import { findRegisteredSocket, viewDriver } from '../../csi/runtime/driver-client.ts'
import { listRecords, parseRecord, recordFolderOf } from '../../csi/runtime/volume-records.ts'
import { isInMemory } from '../../files/memory-file-system.ts'
import { systemCodeOf } from '../../files/system-error.ts'
import { decodeServiceAccountToken } from '../../identity/service-account-token.ts'
import { quotedAudiences } from '../../identity/token-words.ts'
import { quoted } from '../../text/quoted.ts'
import { fail, ok, unknown, warn, wordsOf, type Finding } from '../finding.ts'
import { readHostFile } from '../host-file.ts'
import { checkPathRights } from '../path-rights.ts'

const RUN_IT = 'start transit-bridge csi (its DaemonSet), and check its log'

/** The driver of csi.runtime on this node: its sockets, the kubelet, its records, and its rules. */
export async function checkRuntime(
  csi: Pick<CsiConfig, 'audience' | 'rules'>,
  runtime: CsiRuntimeConfig,
): Promise<readonly Finding[]> {
  const { socket, registrationSocket } = runtime
  return [
    ...(await checkPathRights('runtime socket', socket)),
    ...(await checkPathRights('runtime socket', registrationSocket)),
    ...(await checkDriver(runtime)),
    ...(await checkState(runtime)),
    checkRules(csi),
    await checkAudience(csi, runtime),
  ]
}

async function checkDriver(runtime: CsiRuntimeConfig): Promise<readonly Finding[]> {
  const { socket, driverName } = runtime
  try {
    const { name, version, registration } = await viewDriver(socket)
    if (name !== driverName) {
      const why = `${socket} is served by ${quoted(name)}, and csi.runtime.driverName is ${quoted(driverName)}`
      return [fail('runtime driver', why, 'restart transit-bridge csi, or correct the name')]
    }
    return [
      ok('runtime driver', `${driverName} ${version} answers`),
      await checkRegistration(runtime, registration),
    ]
  } catch (thrown) {
    return [fail('runtime driver', wordsOf(thrown), RUN_IT)]
  }
}

async function checkRegistration(
  runtime: CsiRuntimeConfig,
  state: string | undefined,
): Promise<Finding> {
  const { registrationSocket, socket } = runtime
  const what = 'runtime registration'
  try {
    const endpoint = await findRegisteredSocket(registrationSocket)
    if (endpoint === socket) return judgeRegistration(runtime, state)
    const why = `${registrationSocket} names ${quoted(endpoint)}, and csi.runtime.socket is ${socket}`
    return fail(what, why, 'restart transit-bridge csi')
  } catch (thrown) {
    return fail(what, wordsOf(thrown), RUN_IT)
  }
}

/** The kubelet reports the result to the driver. Nothing else on the node shows it. */
function judgeRegistration(
  { registrationSocket, driverName }: CsiRuntimeConfig,
  state: string | undefined,
): Finding {
  const what = 'runtime registration'
  if (state === 'registered') return ok(what, `the kubelet registered ${driverName}`)
  if (state === 'refused')
    return fail(what, `the kubelet refused ${driverName}`, 'check the log of transit-bridge csi')
  const why = `the kubelet has not called ${registrationSocket} since the driver started`
  const fix =
    'mount the plugins_registry folder of this kubelet (--root-dir) at the same path, and set csi.runtime.registrationSocket to a file in it'
  return fail(what, why, fix)
}

async function checkState({ stateFolder }: CsiRuntimeConfig): Promise<readonly Finding[]> {
  const rights = await checkPathRights('runtime state', stateFolder)
  try {
    if (await isInMemory(stateFolder))
      return [...rights, ok('runtime state', `${stateFolder} is in memory`)]
    const why = `${stateFolder} is on a disk, so no tokens are stored, and after a restart requests fail for about a minute`
    return [...rights, warn('runtime state', why, 'use a folder on tmpfs, such as one in /run')]
  } catch (thrown) {
    const why = `${stateFolder} cannot be used (${systemCodeOf(thrown) ?? 'unknown error'})`
    return [...rights, fail('runtime state', why, RUN_IT)]
  }
}

function checkRules({ rules }: Pick<CsiConfig, 'rules'>): Finding {
  const count = rules.filter(({ operations = [] }) => operations.length > 0).length
  if (count > 0)
    return ok(
      'runtime rules',
      `${count === 1 ? '1 rule has' : `${String(count)} rules have`} operations`,
    )
  const why = 'no rule in csi.rules has operations, so no pod with a volume starts'
  return fail('runtime rules', why, 'add operations to a rule')
}

/** A token that the kubelet sent shows what the CSIDriver object requests, which only the API server knows. */
async function checkAudience(
  { audience }: Pick<CsiConfig, 'audience'>,
  { stateFolder, driverName }: CsiRuntimeConfig,
): Promise<Finding> {
  const what = 'runtime audience'
  const audiences = await readAudiences(recordFolderOf(stateFolder))
  const fix = `check that spec.tokenRequests lists audience ${audience}: kubectl get csidriver ${driverName} -o yaml`
  if (typeof audiences === 'string') return unknown(what, audiences, fix)
  const other = audiences.find((found) => !found.includes(audience))
  if (audiences.length === 0)
    return unknown(what, 'no pod on this node has a volume with a stored token', fix)
  if (other === undefined)
    return ok(what, `the kubelet sends tokens for audience ${quoted(audience)}`)
  const why = `a pod has a token with ${quotedAudiences(other)}, and csi.audience is ${quoted(audience)}`
  return fail(what, why, fix)
}

/** Returns the audiences of each stored token, or why they cannot be read. */
async function readAudiences(folder: string): Promise<readonly (readonly string[])[] | string> {
  try {
    const records = await Promise.all(
      (await listRecords(folder)).map(async (name) => {
        const file = await readHostFile(join(folder, name))
        return 'text' in file ? parseRecord(name, file.text)?.token : undefined
      }),
    )
    return records
      .filter((token) => token !== undefined)
      .map((token) => decodeServiceAccountToken(token, folder).claims.audiences)
  } catch (thrown) {
    const code = systemCodeOf(thrown)
    return `${folder} cannot be read (${code ?? wordsOf(thrown)})`
  }
}
