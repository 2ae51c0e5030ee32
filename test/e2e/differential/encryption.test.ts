import { isDeepStrictEqual } from 'node:util'
import { test, type Test } from 'tap'

import { checkEncryptionConfig } from '../../../src/encryption/check.ts'
import { askLoaders, type Answer } from '../../real/cluster/kubernetes-loaders.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { listOddScalars, makeEncryptionFile } from './encryption-files.ts'
import { viewEncryption } from './encryption-view.ts'
import { Random } from './random.ts'
import { REAL_ENCRYPTION_FILES } from './real-encryption-files.ts'
import { STRICTER_YAML } from './stricter-yaml.ts'

const FILES = 1200
/** A different seed makes different files. */
const SEED = Number(process.env['DIFFERENTIAL_SEED'] ?? 12)

void test('kube-apiserver and this program read the same in every file', async (t) => {
  const generated = Array.from({ length: FILES }, (_, index) =>
    makeEncryptionFile(new Random(SEED * FILES + index)),
  )
  const texts = [...REAL_ENCRYPTION_FILES, ...listOddScalars(), ...generated]
  const answers = await askLoaders<unknown>(
    tempFolder('loaders'),
    texts.map((text) => ({ kind: 'encryption', text })),
  )
  const accepted = answers.filter((answer) => answer.accepted).length
  t.ok(accepted > FILES / 5 && accepted < FILES, `${accepted} of ${texts.length} are accepted`)
  for (const [index, text] of texts.entries()) compare(t, text, answers[index])
})

function compare(t: Test, text: string, answer: Answer<unknown> | undefined): void {
  const ours = viewEncryption(text)
  if (isDeepStrictEqual(ours, answer?.result)) return
  const refusal = checkEncryptionConfig(text).find(({ severity }) => severity === 'refused')
  const isStricter = STRICTER_YAML.some((message) => message.test(refusal?.message ?? ''))
  if (ours === undefined && isStricter) return
  t.strictSame(ours ?? refusal, answer?.result ?? answer?.error, JSON.stringify(text))
}
