// Requests to Vault of three nodes that have nothing to do: npm run bench:idle [MINUTES].
//
// Everything is real: OpenBao with an audit file and three plugins, each of which is asked for Status once a minute, as by a
// kube-apiserver (staging/src/k8s.io/apiserver/pkg/server/options/encryptionconfig/config.go).
import { setTimeout as sleep } from 'node:timers/promises'

import { Plugin } from '../test/real/program/plugin.ts'
import { KmsVault } from '../test/real/vault/kms-vault.ts'
import { printTable } from './table.ts'

const NODES = 3
const MAX_PER_MINUTE = 2

const minutes = Number(process.argv[2] ?? 5)
if (!(minutes > 0)) {
  process.stderr.write('usage: npm run bench:idle [MINUTES]\n')
  process.exit(2)
}
const vault = await KmsVault.start()
const plugins: Plugin[] = []
try {
  while (plugins.length < NODES) {
    const plugin = await Plugin.start({ ...vault.configuration(), log: { level: 'info' } })
    plugins.push(plugin)
    await plugin.waitForHealth('ok')
  }
  const since = vault.bao.auditMark()
  for (let minute = 0; minute < minutes; minute += 1) {
    for (const plugin of plugins) await plugin.client.status()
    await sleep(Math.min(1, minutes - minute) * 60_000)
  }
  const requests = vault.bao.auditRequests({ since }).length
  const perMinute = requests / minutes / NODES
  const ok = perMinute <= MAX_PER_MINUTE
  printTable([
    {
      what: `requests to Vault of a node with nothing to do, each minute, over ${String(minutes)} minutes`,
      value: perMinute.toFixed(2),
      target: `<= ${String(MAX_PER_MINUTE)}`,
      ok,
    },
  ])
  process.exitCode = ok ? 0 : 1
} finally {
  for (const plugin of plugins) await plugin.stop()
  await vault.stop()
}
