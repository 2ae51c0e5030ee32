import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'tap'
import { stringify } from 'yaml'
import { allowedResources } from '../../../src/commands/cli/options/resources.ts'
import { Etcd } from '../../real/cluster/etcd.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { KEY, KmsVault } from '../../real/vault/kms-vault.ts'
import {
  CLUSTER,
  disableOldVersions,
  FORMER_CLUSTER,
  realKeyRing,
} from '../../verify/random/key-ring.ts'
import type { Layout } from '../../verify/random/layouts.ts'
import { makeStore, type RandomStore } from '../../verify/random/random-store.ts'
import { reported } from '../../verify/random/reported.ts'
import { renderRules } from '../../verify/random/rules.ts'
import { formatTruth, truthOf } from '../../verify/random/truth.ts'
import { reportOf, runVerify } from '../../verify/run-verify.ts'
import { putAll } from '../../verify/snapshot-of.ts'

const COUNT = 50

const [vault, etcd] = await Promise.all([KmsVault.start(), Etcd.start()])
after(() => Promise.all([vault.stop(), etcd.stop()]))

const folder = tempFolder('random-stores')
const ring = await realKeyRing(vault)
const stores: RandomStore[] = []
for (let seed = 1; seed <= COUNT; seed += 1) {
  const prefix = `/store-${String(seed)}/`
  const depth = seed % 5 === 0 ? 'seeds' : 'objects'
  const store = await makeStore(seed, ring, { prefix, depth })
  // The command line refuses a resource that is both demanded and allowed.
  const demanded = store.resources ?? []
  const allowed = store.allowed.filter(
    (layout) => canBeAllowed(layout) && !demanded.includes(layout),
  )
  stores.push({ ...store, allowed })
  await putAll(
    etcd,
    store.objects.map(({ key, value }) => [key, value] as const),
  )
}
await disableOldVersions(vault)

/** The command line cannot allow a misspelled name. */
function canBeAllowed({ resource }: Layout): boolean {
  try {
    allowedResources('').read([resource], '--allow')
    return true
  } catch {
    return false
  }
}

function writeConfig({ acceptsVaultKubernetesKms }: RandomStore): string {
  const file = join(folder, `config-${String(acceptsVaultKubernetesKms)}.yaml`)
  const { vault: section } = vault.configuration()
  const kms = {
    clusterId: CLUSTER,
    alsoDecryptClusters: [FORMER_CLUSTER],
    acceptFrom: acceptsVaultKubernetesKms ? ['vault-kubernetes-kms'] : [],
  }
  writeFileSync(file, stringify({ vault: section, transit: { key: KEY }, kms }))
  return file
}

function argumentsOf(store: RandomStore): string[] {
  const { seed, prefix, rules, resources, allowed, depth } = store
  const names = (list: readonly Layout[]) => list.map(({ resource }) => resource).join(',')
  const args = ['--endpoints', etcd.address, '--etcd-prefix', prefix, '--deep']
  args.push('--config', writeConfig(store))
  if (depth === 'objects') args.push('--objects')
  if (resources !== undefined) args.push('--resources', names(resources))
  if (allowed.length > 0) args.push('--allow', names(allowed))
  if (rules === undefined) return args
  const file = join(folder, `rules-${String(seed)}.yaml`)
  writeFileSync(file, renderRules(rules))
  return [...args, '--encryption-config', file]
}

for (const store of stores) {
  const truth = truthOf(store)
  const says = truth === undefined ? 'empty' : truth.ok ? 'ok' : 'not ok'
  void test(`random store ${String(store.seed)} with real ciphertexts: ${says}`, async (t) => {
    const args = argumentsOf(store)
    if (truth === undefined) {
      t.match(await runVerify(...args), { code: 1, stdout: '' })
      return
    }
    const { code, report } = await reportOf(...args)
    t.equal(formatTruth(reported(report)), formatTruth(truth))
    t.equal(code, truth.ok ? 0 : 1)
  })
}

void test('both verdicts are among them', (t) => {
  const verdicts = new Set(stores.map((store) => truthOf(store)?.ok))
  t.ok(verdicts.has(true) && verdicts.has(false))
  t.end()
})
