// Starts of a kube-apiserver while Vault is unavailable: npm run bench:offline [STARTS SECRETS SEEDS].
//
// Everything is real: OpenBao (killed), etcd, kube-apiserver and the built program with local keys.
import { startOfflineCluster } from '../test/e2e/api-server/local-keys.ts'
import { vaultRequests } from '../test/e2e/observe.ts'
import { median } from './latency.ts'
import { printTable } from './table.ts'

const MAX_READY_SECONDS = 5

const [starts = 10, secrets = 10_000, seeds = 3_000] = process.argv.slice(2).map(Number)
const ends: (() => unknown)[] = []
const scope = { teardown: (end: () => unknown) => void ends.push(end) }
try {
  const cluster = await startOfflineCluster(scope, { seeds, secrets, log: { level: 'info' } })
  await cluster.vault.bao.kill()
  const countRequests = async () =>
    (await vaultRequests(cluster.plugin, 'encrypt')) +
    (await vaultRequests(cluster.plugin, 'decrypt'))
  const before = await countRequests()
  const ready: number[] = []
  const read: number[] = []
  for (let start = 0; start < starts; start += 1) {
    const { readySeconds, readSeconds } = await cluster.restart()
    ready.push(readySeconds)
    read.push(readSeconds)
  }
  const longest = Math.max(...ready)
  const requests = (await countRequests()) - before
  const what = `${String(starts)} starts, ${secrets.toLocaleString('en')} Secrets, ${seeds.toLocaleString('en')} DEK seeds`
  printTable([
    { what: `${what}: ready, median`, value: `${median(ready).toFixed(1)} s` },
    {
      what: 'the slowest start',
      value: `${longest.toFixed(1)} s`,
      target: '<= 5 s',
      ok: longest <= MAX_READY_SECONDS,
    },
    { what: 'all Secrets read, median', value: `${median(read).toFixed(1)} s` },
    {
      what: 'encrypt and decrypt requests to Vault',
      value: String(requests),
      target: '0',
      ok: requests === 0,
    },
  ])
} finally {
  for (const end of ends.toReversed()) await end()
}
