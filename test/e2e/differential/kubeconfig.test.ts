import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { test } from 'tap'

import { askLoaders } from '../../real/cluster/kubernetes-loaders.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { makeKubeconfig, type Credentials } from './kubeconfig-files.ts'
import { reduceView, TOKEN_IN_FILE, viewKubeconfig, type KubectlView } from './kubeconfig-view.ts'
import { Random } from './random.ts'
import { STRICTER_YAML } from './stricter-yaml.ts'
import { REAL_KUBECONFIGS } from './real-kubeconfigs.ts'

const FILES = 1000
/** A different seed makes different files. */
const SEED = Number(process.env['DIFFERENTIAL_SEED'] ?? 12)

/** What kubectl accepts and this program refuses on purpose, by the message, with the reason. */
const STRICTER: readonly RegExp[] = [
  // A token or a Secret would be sent in the clear, or to any server.
  /has no server that starts with https:/,
  /has insecure-skip-tls-verify/,
  // It runs no program, and knows no proxy.
  /logs in by an (exec plugin|auth-provider)/,
  /has a proxy-url/,
  // No API server since 1.19 accepts one.
  /has a password/,
  // kubectl continues without credentials, as system:anonymous: a mistake in the file.
  /has no user "/,
  /has only one of client-certificate and client-key/,
  // kubectl then looks for a cluster and a user without a name.
  /has no current-context/,
  /is empty or has no contexts/,
  ...STRICTER_YAML,
]

async function makeCredentials(folder: string): Promise<Credentials> {
  const authority = await CertificateAuthority.create()
  const [one, other] = await Promise.all([authority.client('one'), authority.client('other')])
  const found = {
    ca: authority.caPem,
    cert: readFileSync(one.certFile, 'utf8'),
    key: readFileSync(one.keyFile, 'utf8'),
    otherKey: readFileSync(other.keyFile, 'utf8'),
  }
  const files = { 'ca.pem': found.ca, 'cert.pem': found.cert, 'key.pem': found.key }
  for (const [name, text] of Object.entries({ ...files, 'garbage.pem': 'x', token: TOKEN_IN_FILE }))
    writeFileSync(join(folder, name), text)
  return found
}

void test('kubectl and this program read the same in every kubeconfig', async (t) => {
  const folder = tempFolder('loaders')
  const credentials = await makeCredentials(folder)
  const generated = Array.from({ length: FILES }, (_, index) =>
    makeKubeconfig(new Random(SEED * FILES + index), credentials),
  )
  const texts = [...REAL_KUBECONFIGS(credentials), ...generated]
  const answers = await askLoaders<KubectlView & Record<string, unknown>>(
    folder,
    texts.map((text) => ({ kind: 'kubeconfig', text })),
  )
  const accepted = answers.filter((answer) => answer.accepted).length
  t.ok(accepted > FILES / 5 && accepted < FILES, `${accepted} of ${texts.length} are accepted`)
  for (const [index, text] of texts.entries()) {
    const file = join(folder, 'file')
    writeFileSync(file, text)
    const ours = await viewKubeconfig(file)
    const { result, error } = answers[index] ?? {}
    const theirs = result === undefined ? undefined : reduceView(result)
    const isStricter = typeof ours === 'string' && STRICTER.some((words) => words.test(ours))
    const isSame = theirs === undefined ? typeof ours === 'string' : isDeepStrictEqual(ours, theirs)
    if (!isSame && !isStricter) t.strictSame(ours, theirs ?? error, JSON.stringify(text))
  }
})
