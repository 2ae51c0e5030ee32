// A store in which nothing is encrypted, such as one that was restored from the wrong file.
import { after, test } from 'tap'
import { Etcd } from '../../real/cluster/etcd.ts'
import { KmsVault } from '../../real/vault/kms-vault.ts'
import { KUBE_SYSTEM } from '../../verify/envelopes.ts'
import { runMain, runVerify } from '../../verify/run-verify.ts'
import { writeConfig } from '../../verify/sealed-values.ts'
import { putAll, saveSnapshot } from '../../verify/snapshot-of.ts'

const [vault, etcd] = await Promise.all([KmsVault.start(), Etcd.start()])
after(() => Promise.all([vault.stop(), etcd.stop()]))
await putAll(etcd, [KUBE_SYSTEM])
const snapshot = await saveSnapshot(etcd)
const config = writeConfig(vault)

void test('a decryption of nothing is not ok, from etcd or from a snapshot', async (t) => {
  for (const source of [
    ['--endpoints', etcd.address],
    ['--snapshot', snapshot],
  ])
    for (const more of [[], ['--objects']]) {
      const deep = ['--deep', ...more, '--config', config]
      t.match(await runVerify(...source, ...deep), {
        code: 1,
        stdout: /\nNOT ok: of 1 object: there is no encrypted object, so nothing is proved\n$/,
      })
    }
})

void test('a drill of a snapshot without encrypted objects does not say that Vault can decrypt it', async (t) => {
  const { code, stdout } = await runMain('drill', 'backup', snapshot, '--config', config)
  t.equal(code, 1)
  t.match(stdout, /\nNOT ok: of 1 object: there is no encrypted object, so nothing is proved\n/)
  t.match(stdout, /\nnot proved that all of it can be restored; see above for [^\n]+\n$/)
})

void test('a snapshot without encrypted objects leaves a step of a restore to do', async (t) => {
  const { code, stdout } = await runMain('drill', 'restore', snapshot, '--config', config)
  t.equal(code, 1)
  t.match(
    stdout,
    /\n2\. \[not checked\] .*\n.*\n3\. \[to do\] .*\n +of 1 object: there is no encrypted object, so nothing is proved\n/,
  )
})
