// The last step of a rotation with a real OpenBao: Vault becomes unreachable just before or after it writes min_decryption_version.
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { test } from 'tap'
import { stringify } from 'yaml'

import { openOperatorVault } from '../../src/commands/cli/operator-vault.ts'
import { raiseVersion } from '../../src/commands/rotate/raise-version.ts'
import { StateFile } from '../../src/files/state-file.ts'
import { Rotation } from '../../src/rotate/rotation.ts'
import { RotationState } from '../../src/rotate/state.ts'
import { systemClock } from '../../src/time/clock.ts'
import { readingOf } from '../convergence/named.ts'
import { TcpProxy } from '../real/faults/tcp-proxy.ts'
import { OpenBao } from '../real/vault/openbao.ts'
import { enableTransit, makeKey, rotateKey } from '../real/vault/transit-setup.ts'
import { reportOf } from './report.ts'

const faults = [
  ['between the confirmation and the write', (proxy: TcpProxy) => proxy.refuse(), 1],
  ['after the write, before its response', (proxy: TcpProxy) => proxy.cut(0), 2],
] as const

void test('Vault becomes unreachable during the raise: the run reports what is unknown, and the next one completes', async (t) => {
  for (const [when, fail, minimum] of faults)
    await t.test(when, async (t) => {
      const bao = await OpenBao.start()
      t.teardown(() => bao.stop())
      const proxy = await TcpProxy.start(bao.address)
      t.teardown(() => proxy.stop())
      await enableTransit(bao)
      await makeKey(bao, 'k')
      await rotateKey(bao, 'k')
      const folder = t.testdir({
        'config.yaml': stringify({
          vault: {
            address: proxy.address,
            auth: { method: 'token', tokenFile: '/token' },
          },
          transit: { key: 'k' },
          kms: { clusterId: 'c', socket: '/run/kms.sock' },
        }),
        token: bao.rootToken,
      })
      const config = join(folder, 'config.yaml')
      const vault = await openOperatorVault(
        { config, tokenFile: join(folder, 'token') },
        { environment: {} },
      )
      t.teardown(() => vault.close())
      const hashOf = async () => vault.versionsOf(await vault.key.read()).hashOf(2) ?? ''
      const hash = await hashOf()
      const file = new StateFile(join(folder, 'rotate.json'), RotationState)
      const stderr = new PassThrough()
      const run = async (ask: () => Promise<boolean>) =>
        new Rotation({
          actions: {
            readKey: () => vault.key.read(),
            versionsOf: (key) => vault.versionsOf(key),
            rotateKey: () => vault.key.rotate(),
            read: () => Promise.resolve(readingOf(hash)),
            rewrite: () => Promise.resolve(),
            reportEtcd: () => Promise.resolve(reportOf([2], () => hash)),
            reportBackups: () => Promise.resolve([]),
            raise: (needed, signal) =>
              raiseVersion({
                needed,
                asked: undefined,
                isOnlyCluster: true,
                terminal: { stderr },
                key: vault.key,
                ask,
                signal,
              }),
          },
          state: (await file.read()) ?? {
            version: 1,
            procedure: 'rotate',
            cluster: 'u',
            key: 'transit/k',
            startedAt: 'then',
            step: 'check',
            from: 2,
          },
          file,
          finishOnly: true,
          demand: {},
          isTarget: (resource) => resource === 'secrets',
          accepted: new Set(),
          patienceMs: 5_000,
          clock: systemClock,
          onStep: () => undefined,
          onNote: () => undefined,
        }).run(new AbortController().signal)
      const readKey = async () => (await bao.api('GET', 'transit/keys/k')).data

      const confirmThenFail = async () => {
        await fail(proxy)
        return true
      }
      await t.rejects(run(confirmThenFail), {
        code: 'VAULT_UNREACHABLE',
        message:
          /^it is unknown whether min_decryption_version is 2 now: transit\/keys\/k\/config: Vault at .*/,
      })
      t.match(await readKey(), { min_decryption_version: minimum, latest_version: 2 })
      t.ok(await file.read(), 'the next run continues this one')

      await proxy.pass()
      await run(() => Promise.resolve(true))
      t.match(await readKey(), { min_decryption_version: 2, latest_version: 2 })
      t.equal(await file.read(), undefined)
    })
})
