import { test } from 'tap'
import { BridgeError } from '../../../src/errors.ts'
import { parseEncryptionRules } from '../../../src/encryption/rules-file.ts'
import { parseGroupResource } from '../../../src/kube/resource.ts'
import { SourceReader } from '../../../src/storage/source-reader.ts'
import { DeepProof } from '../../../src/verify/deep-proof.ts'
import { formatReport } from '../../../src/verify/report-text.ts'
import type { Report } from '../../../src/verify/report.ts'
import { verifyStore, type VerificationOptions } from '../../../src/verify/verification.ts'
import { HandClock } from '../../fakes/clock.ts'
import { KEY } from '../../real/vault/kms-vault.ts'
import { CLUSTER, FORMER_CLUSTER, MemoryTransit } from './key-ring.ts'
import type { Layout } from './layouts.ts'
import { memoryStore } from './memory-store.ts'
import { makeStore, type RandomStore } from './random-store.ts'
import { reported } from './reported.ts'
import { renderRules } from './rules.ts'
import { formatTruth, truthOf } from './truth.ts'

/** A failure names its store; `TRANSIT_BRIDGE_TEST_STORES=FIRST,COUNT` runs others than the usual ones. */
const [FIRST = 1, COUNT = 1_000] = (process.env['TRANSIT_BRIDGE_TEST_STORES'] ?? '1,1000')
  .split(',')
  .map(Number)

const transit = new MemoryTransit()
const resourceOf = ({ resource }: Layout) => parseGroupResource(resource)

function proofOf({ depth, acceptsVaultKubernetesKms }: RandomStore): VerificationOptions['deep'] {
  if (depth === 'envelopes') return undefined
  const reader = new SourceReader({
    transit,
    place: { mount: 'transit', key: KEY },
    clusters: { clusterId: CLUSTER, alsoDecryptClusters: [FORMER_CLUSTER] },
    clock: new HandClock(),
    uid: 'verify-test',
  })
  const objects = depth === 'objects'
  const proof = new DeepProof({
    reader,
    acceptVaultKubernetesKms: acceptsVaultKubernetesKms,
    objects,
  })
  return { proof, depth, uid: 'verify-test' }
}

async function verify(store: RandomStore): Promise<Report | undefined> {
  const { prefix, rules, resources, allowed } = store
  try {
    return await verifyStore({
      store: memoryStore(store),
      prefix,
      clock: new HandClock(),
      rules: rules === undefined ? undefined : parseEncryptionRules('rules', renderRules(rules)),
      resources: resources?.map(resourceOf),
      allowed: allowed.map(resourceOf),
      deep: proofOf(store),
      onProgress: () => undefined,
      signal: new AbortController().signal,
    })
  } catch (error) {
    if (error instanceof BridgeError && error.code === 'STORE_EMPTY') return undefined
    throw error
  }
}

type Difference = { store: RandomStore; found: string; expected: string }

void test(`${String(COUNT)} random stores: every count and the verdict are correct`, async (t) => {
  const differences: Difference[] = []
  const verdicts = { ok: 0, notOk: 0, empty: 0 }
  for (let seed = FIRST; seed < FIRST + COUNT; seed += 1) {
    const store = await makeStore(seed, transit)
    const truth = truthOf(store)
    const report = await verify(store)
    const found = formatTruth(report === undefined ? undefined : reported(report))
    const expected = formatTruth(truth)
    if (found !== expected) differences.push({ store, found, expected })
    if (truth === undefined) verdicts.empty += 1
    else verdicts[truth.ok ? 'ok' : 'notOk'] += 1
    if (report === undefined) continue
    const last = formatReport(report).split('\n').at(-1) ?? ''
    if (last.startsWith('ok: ') !== truth?.ok) t.fail(`store ${String(seed)} says ${last}`)
  }
  t.comment(`${JSON.stringify(verdicts)}, ${String(differences.length)} differ`)
  // The smallest store shows a fault most clearly.
  const [first] = differences.toSorted(
    (one, other) => one.store.objects.length - other.store.objects.length,
  )
  if (first !== undefined) {
    const { seed, rules, resources, allowed, depth } = first.store
    const names = (list: readonly Layout[] = []) => list.map(({ resource }) => resource).join(',')
    t.comment(
      `${renderRules(rules ?? [])}--resources ${names(resources)} --allow ${names(allowed)}, ${depth}`,
    )
    t.equal(first.found, first.expected, `store ${String(seed)}`)
  }
  t.equal(differences.length, 0)
  t.ok(COUNT < 1_000 || verdicts.ok > COUNT / 20, 'stores without a fault are among them')
})
