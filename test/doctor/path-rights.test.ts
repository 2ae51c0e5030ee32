import { chmodSync, chownSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'tap'

import { checkManifestChoice, findManifest } from '../../src/doctor/manifest-path.ts'
import { checkPathRights } from '../../src/doctor/path-rights.ts'
import { tempFolder } from '../real/host/temp-folder.ts'

/** A file in two folders that belong to root alone. */
function makeFile(): string {
  const file = join(tempFolder('rights'), 'a', 'b', 'file')
  mkdirSync(dirname(file), { recursive: true, mode: 0o755 })
  writeFileSync(file, '', { mode: 0o600 })
  return file
}

async function find(path: string): Promise<string> {
  return (await checkPathRights('configuration', path)).map(({ why }) => why).join('\n')
}

void test('a file, and each folder above it, is judged by its mode', async (t) => {
  const file = makeFile()
  t.equal(await find(file), '')
  chmodSync(file, 0o666)
  t.match(await find(file), /b\/file has mode 0666, so other users can replace/)
  chmodSync(dirname(file), 0o777)
  chmodSync(dirname(dirname(file)), 0o777)
  t.match(await find(file), /a has mode 0777.*\n.*b has mode 0777.*\n.*file has mode 0666/)
  chmodSync(dirname(file), 0o1777)
  chmodSync(dirname(dirname(file)), 0o755)
  chmodSync(file, 0o600)
  t.equal(await find(file), '', 'a sticky folder, as /tmp')
  t.equal(await find(join(dirname(file), 'none')), '', 'what does not exist')
})

void test('a folder on the way to a symbolic link counts, too', async (t) => {
  const file = makeFile()
  const folder = tempFolder('links')
  const open = join(folder, 'open')
  mkdirSync(open)
  symlinkSync(file, join(open, 'second'))
  symlinkSync('open/second', join(folder, 'first'))
  t.equal(await find(join(folder, 'first')), '')
  chmodSync(open, 0o777)
  t.match(await find(join(folder, 'first')), /open has mode 0777, so other users can replace/)
  symlinkSync('loop', join(folder, 'loop'))
  t.match(await find(join(folder, 'loop')), /who can replace .* is unknown: ELOOP/)
  t.match(await find(join(folder, 'x'.repeat(300))), /is unknown: ENAMETOOLONG/)
})

void test('a file is not safe because it belongs to its owner, or has a sticky bit', async (t) => {
  const file = makeFile()
  chownSync(file, 1234, 0)
  t.match(await find(file), /file belongs to user id 1234 \(mode 0600\)/)
  t.strictSame(await checkPathRights('configuration', file, [1234]), [], 'the user of the plugin')
  chownSync(file, 0, 1234)
  chmodSync(file, 0o660)
  t.match(await find(file), /file has mode 0660 and belongs to group id 1234/)
  chownSync(file, 0, 0)
  t.match(await find(file), /file has mode 0660 and belongs to group id 0/, 'or an ACL')
  chmodSync(file, 0o1666)
  t.match(await find(file), /file has mode 0666/)
  chmodSync(file, 0o600)
  chmodSync(dirname(file), 0o1777)
  t.match(await find(dirname(file)), /b has mode 0777/, 'anyone can put a missing socket into it')
})

void test('a folder of another user or group is found by its owner', async (t) => {
  const file = makeFile()
  const folder = dirname(file)
  chownSync(folder, 1234, 0)
  t.match(await find(file), /b belongs to user id 1234 \(mode 0755\)/)
  chownSync(folder, 0, 1234)
  t.equal(await find(file), '', 'a group that may only read')
  chmodSync(folder, 0o775)
  t.match(await find(file), /b has mode 0775 and belongs to group id 1234/)
})

void test('the manifest is where kubeadm, RKE2 or kops write it', (t) => {
  const root = tempFolder('root')
  const kubeadm = join(root, 'etc/kubernetes/manifests/kube-apiserver.yaml')
  t.equal(findManifest(root), kubeadm)
  const rke2 = join(root, 'var/lib/rancher/rke2/agent/pod-manifests/kube-apiserver.yaml')
  mkdirSync(dirname(rke2), { recursive: true })
  writeFileSync(rke2, '')
  t.equal(findManifest(root), rke2)
  mkdirSync(dirname(kubeadm), { recursive: true })
  writeFileSync(kubeadm, '')
  t.equal(findManifest(root), kubeadm)
  t.match(checkManifestChoice(root), [{ level: 'unknown', why: /rke2.* exists, too/ }])
  rmSync(rke2)
  t.strictSame(checkManifestChoice(root), [])
  t.end()
})
