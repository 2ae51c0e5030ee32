import { execFileSync } from 'node:child_process'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

import { DrillSwitch } from '../../src/admin/drill-switch.ts'
import { readEtcdAccess } from '../../src/commands/cli/options/etcd.ts'
import { readInput } from '../../src/commands/csi/input.ts'
import { loadConfig } from '../../src/config/load.ts'
import { readEncryptionFile } from '../../src/encryption/rules-file.ts'
import {
  BridgeError,
  isOutage,
  isVaultError,
  isVaultSilent,
  type ErrorCode,
} from '../../src/errors.ts'
import { EtcdClient } from '../../src/etcd/client.ts'
import { readCredentialFile } from '../../src/files/credential-file.ts'
import { openRegularFile } from '../../src/files/regular-file.ts'
import { codeOfFileError } from '../../src/files/system-error.ts'
import { readTextFile } from '../../src/files/text-file.ts'
import { readKubeconfig } from '../../src/kube/kubeconfig.ts'
import { createLogger } from '../../src/telemetry/log.ts'
import { readTlsFiles } from '../../src/vault/tls/tls-files.ts'
import { HandClock } from '../fakes/clock.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

const file = join(tempFolder('shortage'), 'file')
writeFileSync(file, 'text')
/** A regular file whose first byte cannot be read (EIO). */
const UNREADABLE = '/proc/self/mem'
const MAX_OPEN_FILES = 256

type Read = (path: string) => Promise<unknown>

const etcd = { endpoints: ['https://127.0.0.1:2379'], certFile: undefined, keyFile: undefined }
const NO_ETCD = { endpoints: undefined, cacert: undefined, cert: undefined, key: undefined }
const READERS: readonly (readonly [string, Read])[] = [
  ['a credential', (path) => readCredentialFile({ path, setting: 's', whenMissing: 'write it' })],
  ['a CA file', (caFile) => readTlsFiles({ caFile })],
  ['a configuration', (path) => loadConfig(path, {})],
  ['an EncryptionConfiguration', readEncryptionFile],
  ['a kubeconfig', (path) => readKubeconfig(path)],
  ['a file of the command line', (path) => readTextFile(path)],
  ['a manifest', readInput],
  ['a CA file of etcd', async (caFile) => new EtcdClient({ ...etcd, caFile, login: undefined })],
  [
    'a password of etcd',
    async (passwordFile) => readEtcdAccess({ ...NO_ETCD, user: 'root', passwordFile }),
  ],
]

for (const [name, read] of READERS) {
  void test(`${name} that cannot be read for want of a file descriptor is not called wrong`, async (t) => {
    const error = await withoutDescriptors(() => failureOf(read, file))
    t.match(error, { code: 'HOST_UNAVAILABLE', message: /too many files are open|EMFILE/ })
  })

  void test(`${name} on a disk that reports an error is not called wrong`, async (t) => {
    const error = await failureOf(read, UNREADABLE)
    t.match(error, { code: 'HOST_UNAVAILABLE', message: /the disk reports an error|EIO/ })
    t.match(error, { cause: { code: 'EIO' } }, 'the log shows it')
  })
}

void test('a large file of the command line cannot be opened for want of a file descriptor', async (t) => {
  const error = await withoutDescriptors(() =>
    failureOf((path) => openRegularFile(path, 'f'), file),
  )
  t.match(error, { code: 'HOST_UNAVAILABLE' })
})

void test('a drill whose token cannot be read for want of a file descriptor is not refused for good', async (t) => {
  const config = { tokenFile: file, maxDurationMs: 60_000 }
  const drill = new DrillSwitch({ config, clock: new HandClock(), log: createLogger('silent') })
  const call = { authorization: 'Bearer x', remoteAddress: '127.0.0.1' }
  const answer = await withoutDescriptors(() => drill.begin(call, 1))
  t.match(answer, { status: 503, text: /cannot be read now: too many files are open/ })
  t.match(await drill.begin(call, 1), { status: 403, text: /has no token/ })
})

const CODES: readonly (readonly [string, ErrorCode])[] = [
  ['EMFILE', 'HOST_UNAVAILABLE'],
  ['ENFILE', 'HOST_UNAVAILABLE'],
  ['ENOMEM', 'HOST_UNAVAILABLE'],
  ['EIO', 'HOST_UNAVAILABLE'],
  ['ENOENT', 'CONFIG_INVALID'],
  ['EACCES', 'CONFIG_INVALID'],
  ['EISDIR', 'CONFIG_INVALID'],
  ['ELOOP', 'CONFIG_INVALID'],
]

void test('only a fault of the host is a fault of the host', (t) => {
  for (const [code, expected] of CODES)
    t.equal(codeOfFileError(Object.assign(new Error(code), { code }), 'CONFIG_INVALID'), expected)
  t.equal(codeOfFileError(new Error('other'), 'CONFIG_INVALID'), 'CONFIG_INVALID')
  const error = new BridgeError('HOST_UNAVAILABLE', 'no memory is left')
  t.ok(isOutage(error), 'Vault has refused nothing')
  t.notOk(isVaultSilent(error), 'nor was it asked')
  t.notOk(isVaultError(error))
  t.end()
})

async function failureOf(read: Read, path: string): Promise<unknown> {
  return read(path).then(
    () => 'no failure',
    (error: unknown) => error,
  )
}

/** Nothing can be loaded while `work` runs, so what it returns is compared afterward. */
async function withoutDescriptors<T>(work: () => Promise<T>): Promise<T> {
  execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${MAX_OPEN_FILES}:`])
  const taken: number[] = []
  try {
    for (;;) taken.push(openSync('/dev/null', 'r'))
  } catch {
    return await work()
  } finally {
    for (const descriptor of taken) closeSync(descriptor)
  }
}
