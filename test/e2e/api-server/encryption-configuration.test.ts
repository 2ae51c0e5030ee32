import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'tap'

import { MOVE_STEPS, type OldProvider } from '../../../src/encryption/move.ts'
import { renderEncryptionConfig } from '../../../src/encryption/render.ts'
import { REFUSED, TAKEN, UNSAFE } from '../../encryption/faulty-configs.ts'
import { obtain } from '../../real/host/parts.ts'
import { freePort } from '../../real/host/port.ts'
import { Program } from '../../real/program/program.ts'
import { ServiceAccountIssuer } from '../../real/cluster/service-account.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'

const JUDGES = 2

/**
 * Returns what a real kube-apiserver reports about a file; undefined if it accepts it. It exits in both cases, because it
 * has no etcd and its token file does not exist: it reads that file after the EncryptionConfiguration.
 */
async function judge(text: string, keys: ServiceAccountIssuer): Promise<string | undefined> {
  const folder = tempFolder('judge')
  const file = (name: string) => join(folder, name)
  await Promise.all([
    writeFile(file('encryption.yaml'), text),
    writeFile(file('sa.key'), keys.privateKeyPem, { mode: 0o600 }),
  ])
  const program = Program.start({
    name: 'kube-apiserver',
    command: await obtain('kube-apiserver'),
    folder,
    args: [
      '--etcd-servers=http://127.0.0.1:1',
      `--secure-port=${await freePort()}`,
      '--bind-address=127.0.0.1',
      `--cert-dir=${file('certs')}`,
      '--service-cluster-ip-range=10.0.0.0/24',
      `--service-account-issuer=${keys.issuer}`,
      `--service-account-key-file=${file('sa.key')}`,
      `--service-account-signing-key-file=${file('sa.key')}`,
      `--token-auth-file=${file('no-such-tokens')}`,
      `--encryption-provider-config=${file('encryption.yaml')}`,
      '--encryption-provider-config-automatic-reload=true',
    ],
  })
  await program.ended()
  const words = /"command failed" err=(.*)/.exec(program.output())?.[1]
  if (words === undefined) throw new Error(`it did not say why it ended: ${program.tail()}`)
  return words.includes('no-such-tokens') ? undefined : words
}

/** Asks about each text, some at once. */
async function judgeAll<T extends readonly [what: string, text: string, ...rest: unknown[]]>(
  rows: readonly T[],
  keys: ServiceAccountIssuer,
  told: (row: T, words: string | undefined) => void,
): Promise<void> {
  const waiting = [...rows]
  const work = async (): Promise<void> => {
    for (let row = waiting.shift(); row !== undefined; row = waiting.shift()) {
      told(row, await judge(row[1], keys))
    }
  }
  await Promise.all(Array.from({ length: JUDGES }, work))
}

void test('kube-apiserver refuses what config encryption --check says it refuses', async (t) => {
  const keys = await ServiceAccountIssuer.create()
  await judgeAll(REFUSED, keys, ([what], words) => t.type(words, 'string', what))
})

void test('kube-apiserver accepts what is valid, and what is only unsafe', async (t) => {
  const keys = await ServiceAccountIssuer.create()
  await judgeAll([...TAKEN, ...UNSAFE], keys, ([what], words) => t.equal(words, undefined, what))
})

void test('kube-apiserver accepts what config encryption prints', async (t) => {
  const keys = await ServiceAccountIssuer.create()
  const ours = {
    socket: '/run/transit-bridge/kms.sock',
    name: 'transit-bridge',
    resources: ['secrets', 'configmaps', '*.apps'],
    timeout: '3s',
  }
  const old: readonly OldProvider[] = [
    { kind: 'identity' },
    { kind: 'aescbc' },
    { kind: 'kms', name: 'cloud', socket: '/run/cloud.sock' },
  ]
  const moves = old.flatMap((from) =>
    MOVE_STEPS.map((step) => {
      const text = renderEncryptionConfig({ ...ours, move: { from, step } })
      const key = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='
      return [`${from.kind}, ${step}`, text.replace('ITS-SECRET', key)] as const
    }),
  )
  const rows = [['the first', renderEncryptionConfig(ours)] as const, ...moves]
  await judgeAll(rows, keys, ([what], words) => t.equal(words, undefined, what))
})
