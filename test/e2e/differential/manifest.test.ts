import { posix } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { test } from 'tap'

import { isTrue } from '../../../src/doctor/api-server-flags.ts'
import { readManifest } from '../../../src/doctor/api-server-manifest.ts'
import { readAsGo } from '../../../src/yaml/go/read.ts'
import { askLoaders } from '../../real/cluster/kubernetes-loaders.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { makeManifest, REAL_MANIFESTS } from './manifest-files.ts'
import { Random } from './random.ts'
import { STRICTER_YAML } from './stricter-yaml.ts'

const FILES = 800
/** A different seed makes different files. */
const SEED = Number(process.env['DIFFERENTIAL_SEED'] ?? 12)

interface KubeletPod {
  /** Whether it is a pod; the kubelet may still refuse what is in it. */
  readonly parsed: boolean
  readonly hostPaths: Readonly<Record<string, string>>
  readonly containers: readonly {
    readonly flags?: Readonly<Record<string, string>>
    readonly mounts: readonly {
      readonly name: string
      readonly inside: string
      readonly subPath: string
    }[]
  }[]
}

const CONFIG = 'encryption-provider-config'
const RELOAD = `${CONFIG}-automatic-reload`

/** What the kubelet and kube-apiserver read, in the form of {@link viewOurs}. */
function viewTheirs({ containers, hostPaths }: KubeletPod): unknown {
  const container = containers.find(({ flags }) => flags !== undefined)
  const mounts = (container?.mounts ?? []).flatMap(({ name, inside, subPath }) => {
    const host = hostPaths[name]
    return host === undefined ? [] : [[posix.join(inside, 'x'), posix.join(host, subPath, 'x')]]
  })
  const file = container?.flags?.[CONFIG]
  return {
    file,
    reload: container?.flags?.[RELOAD] === 'true',
    mounts,
  }
}

function viewOurs(text: string, { containers }: KubeletPod): unknown {
  const manifest = readManifest(text)
  if (manifest === undefined) return undefined
  const { flags, hostPathOf } = manifest
  const container = containers.find((each) => each.flags !== undefined)
  const mounts = (container?.mounts ?? []).flatMap(({ inside }) => {
    const path = posix.join(inside, 'x')
    const host = hostPathOf(path)
    return host === undefined ? [] : [[path, posix.normalize(host)]]
  })
  return { file: flags.get(CONFIG), reload: isTrue(flags.get(RELOAD)), mounts }
}

function isStricter(text: string): boolean {
  const source = readAsGo(text, { json: true, strict: false })
  if ('value' in source) return false
  const message = source[0]?.message ?? ''
  return STRICTER_YAML.some((words) => words.test(message))
}

void test('kubelet, kube-apiserver and this program read the same in every manifest', async (t) => {
  const generated = Array.from({ length: FILES }, (_, index) =>
    makeManifest(new Random(SEED * FILES + index)),
  )
  const texts = [...REAL_MANIFESTS, ...generated]
  const answers = await askLoaders<KubeletPod>(
    tempFolder('loaders'),
    texts.map((text) => ({ kind: 'manifest', text })),
  )
  let compared = 0
  for (const [index, text] of texts.entries()) {
    const { accepted = false, result, error = '' } = answers[index] ?? {}
    if (!accepted) {
      // doctor also reads its part of a pod that the kubelet refuses for another reason.
      if (
        /yaml:|invalid character|no kind|Object 'Kind' is missing/.test(error) &&
        result?.parsed !== true
      )
        t.equal(readManifest(text), undefined, `${error}: ${JSON.stringify(text)}`)
      continue
    }
    if (result === undefined) throw new Error('there is no result')
    // kube-apiserver itself refuses its flags, or no container is its own.
    if (result.containers.every(({ flags }) => flags === undefined)) continue
    compared += 1
    const [ours, theirs] = [viewOurs(text, result), viewTheirs(result)]
    if (!isDeepStrictEqual(ours, theirs) && !isStricter(text))
      t.strictSame(ours, theirs, JSON.stringify(text))
  }
  t.ok(compared > FILES / 3, `${compared} of ${texts.length} were compared`)
})
