// The patches that install-node refuses and accepts, read by the kubelet's own code.
import { test } from 'tap'
import { parseDocument } from 'yaml'
import { parseConfig } from '../../../src/config/load.ts'
import { nodeFilesFor } from '../../../src/node/files/node-files.ts'
import { renderStaticPod } from '../../../src/node/files/static-pod.ts'
import { parsePodPatch, patchPod } from '../../../src/node/install/pod-patch.ts'
import { CONFIG } from '../../node/node-folders.ts'
import { ACCEPTED_PATCHES, REFUSED_PATCHES } from '../../node/refused-patches.ts'
import { askLoaders } from '../../real/cluster/kubernetes-loaders.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'

/** The static pod with a patch that nothing checked. */
function patched(patch: string): string {
  const { config } = parseConfig('config.yaml', CONFIG, {})
  const host = { configFile: '/etc/tb/config.yaml', image: 'image', program: '' }
  const pod = parseDocument(renderStaticPod(nodeFilesFor(config, host)))
  patchPod(pod, parsePodPatch(patch))
  return pod.toString()
}

void test('the kubelet refuses what install-node refuses, and accepts what it accepts', async (t) => {
  const ask = (patches: readonly string[]) =>
    askLoaders(
      tempFolder('pods'),
      patches.map((patch) => ({ kind: 'manifest', text: patched(patch) })),
    )
  const refused = REFUSED_PATCHES.map(([patch]) => patch)
  for (const [index, { accepted }] of (await ask(refused)).entries())
    t.notOk(accepted, String(refused[index]))
  for (const [index, { accepted, error }] of (await ask(ACCEPTED_PATCHES)).entries())
    t.ok(accepted, `${String(ACCEPTED_PATCHES[index])}: ${error ?? ''}`)
})
