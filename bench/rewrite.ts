// Time, memory and load of `rewrite` over many Secrets: node bench/rewrite.ts [COUNT] [RATE]
//
// Everything is real: OpenBao, etcd, kube-apiserver, the built plugin and the built program in their own processes.
import { rmSync } from 'node:fs'
import { forEachOf, Operator } from '../test/e2e/command.ts'
import { encryptionConfig, identity, kms } from '../test/e2e/encryption-config.ts'
import { newKeyId, noticed } from '../test/e2e/observe.ts'
import { Etcd } from '../test/real/cluster/etcd.ts'
import { KEY, KmsVault } from '../test/real/vault/kms-vault.ts'
import { KubeApiServer } from '../test/real/cluster/kube-api-server.ts'
import { Plugin } from '../test/real/program/plugin.ts'
import { rotateKey } from '../test/real/vault/transit-setup.ts'
import { readProcessorTime, readResidentMemory } from './process-figures.ts'
import { printTable } from './table.ts'

const count = Number(process.argv[2] ?? 100_000)
const rate = process.argv[3] ?? '1000000'
/** The memory limit that a run must stay below, in MiB. */
const MAX_MEMORY_MIB = 150

const vault = await KmsVault.start({ audit: false })
const etcd = await Etcd.start()
const plugin = await Plugin.start(vault.configuration(vault.bao.address, { refreshInterval: '1s' }))
await plugin.waitForHealth('ok')
const api = await KubeApiServer.start({
  etcd,
  encryptionConfig: encryptionConfig([kms(plugin.socket), identity]),
})
try {
  const value = 'x'.repeat(500)
  const filledAt = performance.now()
  await forEachOf(count, (index) => api.createSecret('default', `s-${String(index)}`, { value }))
  const filling = (performance.now() - filledAt) / 1000
  const { keyId } = await plugin.client.status()
  await rotateKey(vault.bao, KEY)
  await noticed(api, await newKeyId(plugin, keyId))
  const operator = await Operator.of({ apis: [api], plugins: [plugin], etcd })
  const before = await readProcessorTime(api.pid)
  const startedAt = performance.now()
  const program = operator.start(['rewrite', '--resources', 'secrets', '--rate', rate])
  let memory = 0
  const sampler = setInterval(() => {
    void readResidentMemory(program.pid).then(
      (now) => (memory = Math.max(memory, now)),
      () => undefined,
    )
  }, 200)
  const { code } = await program.ended()
  clearInterval(sampler)
  const seconds = (performance.now() - startedAt) / 1000
  const load = (await readProcessorTime(api.pid)) - before
  process.stdout.write(program.output())
  printTable([
    { what: 'Secrets created', value: `${String(count)} in ${filling.toFixed(0)} s` },
    { what: 'rewrite, including the final read of etcd', value: `${seconds.toFixed(1)} s` },
    { what: 'objects per second', value: (count / seconds).toFixed(0) },
    { what: 'CPU time of kube-apiserver', value: `${load.toFixed(1)} s` },
    {
      what: 'peak memory',
      value: `${memory.toFixed(0)} MiB`,
      target: `< ${String(MAX_MEMORY_MIB)} MiB`,
      ok: memory < MAX_MEMORY_MIB,
    },
    { what: 'exit code', value: String(code), target: '0', ok: code === 0 },
  ])
  process.exitCode = code === 0 && memory < MAX_MEMORY_MIB ? 0 : 1
} finally {
  await api.stop()
  await plugin.stop()
  await etcd.stop()
  await vault.stop()
  for (const folder of [etcd.dir, api.dir, vault.bao.dir])
    rmSync(folder, { recursive: true, force: true })
}
