import { randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import fs from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { dirname, join } from 'node:path'
import { test } from 'tap'

import type { LocalKeysConfig } from '../../src/config/config.ts'
import { checkSealedFile } from '../../src/doctor/local-keys/sealed-file-check.ts'
import { readStartReadiness } from '../../src/doctor/local-keys/start-readiness.ts'
import { SealedFile } from '../../src/kms/local/sealed-file.ts'
import { SystemdCreds } from '../../src/files/systemd-creds.ts'
import { makeSnapshot } from '../../src/seed/key-snapshot.ts'
import { readMoment } from '../../src/time/boot-time.ts'
import { transitKey } from '../kms/transit-key.ts'
import { buildProgram, PROGRAM } from '../commands/program.ts'
import { whyNoMounts } from '../real/host/mount-namespace.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { runToEnd } from '../real/program/run-to-end.ts'

const OWNER = { clusterId: 'prod', keyPath: 'transit/k8s-etcd' }
const HOUR = 3_600_000
const CLUSTERS = { clusterId: OWNER.clusterId, alsoDecryptClusters: [] }

const localKey = (isOwn = true) => ({
  ciphertext: 'vault:v1:AAAA',
  clusterId: OWNER.clusterId,
  keyId: makeSnapshot(transitKey(1), CLUSTERS, 0).keyId,
  key: randomBytes(32),
  isOwn,
})

/** A node whose plugin wrote its sealed file an hour ago; the node key is in memory. */
async function goodNode() {
  const disk = tempFolder('sealed')
  // Not under /tmp, which is on a disk on some machines.
  const memory = join(
    '/dev/shm',
    `transit-bridge-${String(process.pid)}-${randomBytes(4).toString('hex')}`,
  )
  mkdirSync(memory, { mode: 0o700 })
  const config = {
    enabled: true,
    offlineForMs: 4 * HOUR,
    maxUses: 1,
    maxAgeMs: 1,
    sealedFile: join(disk, 'local-keys'),
    nodeKeyFile: join(memory, 'key'),
  } satisfies LocalKeysConfig
  writeFileSync(config.nodeKeyFile, randomBytes(32), { mode: 0o400 })
  const write = async (ageMs = HOUR, owner = OWNER, isOwn = true, count = 1) => {
    const file = new SealedFile({
      path: config.sealedFile,
      nodeKeyFile: config.nodeKeyFile,
      owner,
      log: { warn: () => undefined },
    })
    const now = readMoment()
    const agreedAt = { ...now, sinceBootMs: now.sinceBootMs - ageMs }
    const localKeys = Array.from({ length: count }, () => localKey(isOwn))
    await file.save(() => ({ key: transitKey(1), agreedAt, localKeys }))
    await file.release()
  }
  await write()
  return { config, write, end: () => rmSync(memory, { recursive: true }) }
}

type Node = Awaited<ReturnType<typeof goodNode>>

const NOWHERE = {
  credential: '/nonexistent',
  nodeKeyFile: '/nonexistent',
  tpms: '/nonexistent',
  unitLink: '/nonexistent',
}

const examine = async ({ config }: Node, places = NOWHERE) =>
  (await checkSealedFile(config, OWNER, [], places)).map(
    ({ level, what, why, fix }) => `${level} ${what}: ${why}; ${fix ?? ''}`,
  )

void test('a node that can start without Vault', async (t) => {
  const node = await goodNode()
  t.teardown(node.end)
  // The folder of temporary files is in memory on some machines.
  const found = (await examine(node)).filter((each) => !/ is in memory, /.test(each))
  t.match(found, [
    /^ok node key: /,
    /^ok sealed file: 1 local key, Vault last answered \d+ min ago; the plugin can start without Vault for \d h \d+ min, and so can its API server if all data is under these local keys, which transit-bridge verify --offline proves/,
  ])
  t.same(await checkSealedFile({ ...node.config, enabled: false }, OWNER, []), [])
  t.same(await checkSealedFile({ ...node.config, sealedFile: undefined }, OWNER, []), [])
})

void test('thousands of local keys are counted as verify counts them', async (t) => {
  const node = await goodNode()
  t.teardown(node.end)
  await node.write(HOUR, OWNER, true, 4_096)
  t.match((await examine(node)).join('\n'), /^ok sealed file: 4,096 local keys, Vault last/m)
  await node.write(5 * HOUR, OWNER, true, 4_096)
  t.match((await examine(node)).join('\n'), /^fail sealed file: 4,096 local keys, Vault last/m)
})

void test('a node key that anyone with the disk can decrypt is named, and a TPM 2 that could prevent that', async (t) => {
  const node = await goodNode()
  t.teardown(node.end)
  const folder = tempFolder('credential')
  const places = {
    credential: join(folder, 'node-key'),
    nodeKeyFile: '/nonexistent',
    tpms: join(folder, 'tpmrm'),
    unitLink: join(folder, 'unit'),
  }
  const encrypt = (nodeKey: Buffer) => new SystemdCreds({}).encrypt(nodeKey, 'host')
  writeFileSync(places.credential, await encrypt(readFileSync(node.config.nodeKeyFile)))
  const finding = async () =>
    (await examine(node, places)).find((each) => / credential: /.test(each))
  t.match(
    await finding(),
    /^ok .* anyone with the disk has the local keys; this machine has no TPM 2/,
  )
  const wrong = async () =>
    (await examine(node, places)).filter((each) => /^fail|^unknown/.test(each))
  t.match(await wrong(), [
    /^fail node key unit: .* is not enabled, so there is no node key after a reboot; systemctl enable /,
  ])
  symlinkSync('/nonexistent', places.unitLink)
  t.same(await wrong(), [])
  writeFileSync(places.credential, await encrypt(randomBytes(32)))
  t.match(await wrong(), [
    /^fail .* contains another node key than .*, so a reboot makes the sealed file unusable; systemctl restart /,
  ])
  const text = (await encrypt(randomBytes(32))).toString('latin1')
  writeFileSync(places.credential, `${text.slice(0, 60)}AAAAAAAA${text.slice(68)}`)
  t.match(await wrong(), [
    /^fail .* this machine cannot decrypt .*; run .* setup node-key --replace/,
  ])
  mkdirSync(join(places.tpms, 'tpmrm0'), { recursive: true })
  t.match(await finding(), /^warn .* has the local keys; run .* --with-key host\+tpm2 --replace$/)
  const rows = [
    ['93a894094874449090caf2fc93cab553', /^ok .*a TPM 2 encrypted /],
    ['058469daf6f54324800549da0f8ea2fb', /^fail .* is not encrypted; .* --replace/],
    ['00'.repeat(16), /^unknown .* does not show what encrypted it/],
    ['', /^unknown /],
  ] as const
  for (const [id, words] of rows) {
    writeFileSync(places.credential, Buffer.from(id, 'hex').toString('base64'))
    t.match(await finding(), words)
  }
  t.ok((await examine(node, places)).some((each) => each.startsWith('ok sealed file: ')))
})

void test('a credential that is missing or cannot be read is no proof that the node key is there after a reboot', async (t) => {
  const node = await goodNode()
  t.teardown(node.end)
  const folder = tempFolder('credential')
  const { nodeKeyFile } = node.config
  const places = { ...NOWHERE, credential: join(folder, 'node-key') }
  const found = async (more: Partial<typeof NOWHERE>) =>
    (await examine(node, { ...places, ...more })).filter((each) => / credential: /.test(each))
  t.same(await found({}), [], 'something else provides the node key')
  t.match(await found({ nodeKeyFile }), [
    /^unknown .* is not here, so whether there is a node key after a reboot is unknown; run doctor on the host$/,
  ])
  t.match(await found({ unitLink: folder }), [
    /^fail .* is missing, so there is no node key after a reboot; run transit-bridge setup node-key, and/,
  ])
  t.match(await found({ credential: folder }), [/^unknown .* is not a regular file; $/])
})

function replaceFile({ sealedFile }: LocalKeysConfig, put: (path: string) => void): void {
  rmSync(sealedFile ?? '')
  put(sealedFile ?? '')
}

void test(
  'a file of another user is a finding',
  { skip: process.geteuid?.() !== 0 && 'only root can give a file away' },
  async (t) => {
    const node = await goodNode()
    t.teardown(node.end)
    chownSync(node.config.sealedFile, 65_534, 65_534)
    t.match((await examine(node)).join('\n'), /^fail sealed file: .* belongs to user id 65534/m)
  },
)

/** One thing wrong with it. */
const FAULTS: readonly (readonly [string, (node: Node) => unknown, RegExp])[] = [
  [
    'no node key',
    ({ config }) => rmSync(config.nodeKeyFile),
    /^fail node key: .* does not exist; run transit-bridge setup node-key/,
  ],
  [
    'a node key for all',
    ({ config }) => chmodSync(config.nodeKeyFile, 0o444),
    /^fail node key: .* mode 0444: other users can read/,
  ],
  [
    'another node key',
    ({ config }) => {
      rmSync(config.nodeKeyFile)
      writeFileSync(config.nodeKeyFile, randomBytes(32), { mode: 0o400 })
    },
    /^fail sealed file: .* another node key: .*; it is ignored, and replaced when Vault answers; to keep it, restore the former node key and restart the plugin before Vault answers; $/,
  ],
  [
    'no file',
    ({ config }) => rmSync(config.sealedFile),
    /^fail sealed file: .* does not exist \(never written, or removed after a refusal or after kms\.localKeys\.offlineFor\), so this node needs Vault to start; the running plugin writes it when Vault answers$/,
  ],
  [
    'a damaged file',
    ({ config }) => writeFileSync(config.sealedFile, 'x'),
    /^fail sealed file: .* is not a sealed file .*when Vault answers; $/,
  ],
  [
    'a file of another cluster',
    ({ write }) => write(HOUR, { ...OWNER, clusterId: 'other' }),
    /^fail sealed file: .* belongs to key .*when Vault answers; $/,
  ],
  [
    'a file without a local key that encrypts',
    ({ write }) => write(HOUR, OWNER, false),
    /^fail sealed file: .* has no local key that encrypts; see the log/,
  ],
  [
    'an old file',
    ({ write }) => write(5 * HOUR),
    /^fail sealed file: .* 5 h ago, longer than kms.localKeys.offlineFor; fix Vault first/,
  ],
  [
    'an empty file',
    ({ config }) => truncateSync(config.sealedFile),
    /^fail sealed file: .* is not a/,
  ],
  [
    'a named pipe in place of the file',
    ({ config }) => replaceFile(config, (path) => execFileSync('mkfifo', [path])),
    /^fail sealed file: .* is not a regular file; $/,
  ],
  [
    'a folder in place of the file',
    ({ config }) => replaceFile(config, (path) => mkdirSync(path)),
    /^fail sealed file: .* is not a regular file; $/,
  ],
  [
    'a link to a device in place of the file',
    ({ config }) => replaceFile(config, (path) => symlinkSync('/dev/zero', path)),
    /^fail sealed file: .* is not a regular file; $/,
  ],
  [
    'a link to nothing in place of the file',
    ({ config }) => replaceFile(config, (path) => symlinkSync('/nonexistent/file', path)),
    /^fail sealed file: .* does not exist \(never written, /,
  ],
  [
    'a file of 2 GiB',
    ({ config }) => truncateSync(config.sealedFile, 2 ** 31),
    /^fail sealed file: .* has more than 8388608 bytes; $/,
  ],
  [
    'no folder',
    ({ config }) => rmSync(join(config.sealedFile, '..'), { recursive: true }),
    /^fail sealed file: .* does not exist; create it: mkdir -m 0700 /,
  ],
  [
    'a file in place of the folder',
    ({ config }) => {
      rmSync(join(config.sealedFile, '..'), { recursive: true })
      writeFileSync(join(config.sealedFile, '..'), '')
    },
    /^fail sealed file: .* cannot be read: part of its path is not a directory/,
  ],
  [
    'a file that others can read',
    ({ config }) => chmodSync(config.sealedFile, 0o644),
    /^warn sealed file: .* mode 0644: other users can copy it.*; chmod 0600 \S+ \(the next write also corrects it\)$/,
  ],
  [
    'a file that others can write to',
    ({ config }) => chmodSync(config.sealedFile, 0o606),
    /^fail sealed file: .* mode 0606, so other users can replace/,
  ],
  [
    'a folder that others can write to',
    ({ config }) => chmodSync(join(config.sealedFile, '..'), 0o777),
    /^fail sealed file: .* so other users can replace/,
  ],
]

for (const [what, change, finding] of FAULTS) {
  void test(`${what} is a finding`, async (t) => {
    const node = await goodNode()
    t.teardown(node.end)
    await change(node)
    t.match((await examine(node)).join('\n'), new RegExp(finding.source, 'm'))
  })
}

const NOBODY = 65_534
const AS_OTHER_USER = /^run this as the user of the plugin/

/** What only the user of the plugin may open, or what is wrong for every user. */
const DENIALS: readonly (readonly [string, (config: Node['config']) => void, RegExp, unknown])[] = [
  [
    'a sealed file that this user cannot read',
    ({ nodeKeyFile }) => chownSync(nodeKeyFile, NOBODY, NOBODY),
    /local-keys cannot be read: permission denied$/,
    AS_OTHER_USER,
  ],
  [
    'a node key that this user cannot read',
    ({ sealedFile }) => chownSync(sealedFile, NOBODY, NOBODY),
    /^the node key .* cannot be read: permission denied, /,
    AS_OTHER_USER,
  ],
  [
    'a folder in place of the sealed file, beside a node key that this user cannot read',
    (config) => replaceFile(config, (path) => mkdirSync(path)),
    /local-keys is not a regular file$/,
    undefined,
  ],
  [
    'a sealed file that this user can read, beside no node key',
    ({ sealedFile, nodeKeyFile }) => {
      chownSync(sealedFile, NOBODY, NOBODY)
      rmSync(nodeKeyFile)
    },
    /^the node key .* is missing, /,
    undefined,
  ],
]

for (const [what, change, why, fix] of DENIALS) {
  void test(
    `only for a lack of rights, the advice is to run it as the user of the plugin: ${what}`,
    { skip: process.geteuid?.() !== 0 && 'only root can become another user' },
    async (t) => {
      const node = await goodNode()
      t.teardown(node.end)
      const { sealedFile, nodeKeyFile, offlineForMs } = node.config
      for (const path of [sealedFile, nodeKeyFile]) chmodSync(dirname(path), 0o755)
      change(node.config)
      process.seteuid?.(NOBODY)
      const place = { sealedFile, nodeKeyFile, offlineForMs }
      const judged = await readStartReadiness(place, OWNER).finally(() => process.seteuid?.(0))
      t.match(judged, { why, fix })
    },
  )
}

void test('a node key on a disk is a warning', async (t) => {
  const node = await goodNode()
  t.teardown(node.end)
  const nodeKeyFile = join(import.meta.dirname, `.node-key-${String(process.pid)}`)
  writeFileSync(nodeKeyFile, randomBytes(32), { mode: 0o400 })
  t.teardown(() => rmSync(nodeKeyFile))
  const found = await examine({ ...node, config: { ...node.config, nodeKeyFile } })
  t.match(found.join('\n'), /^warn node key: .* is on a disk/m)
})

void test('a sealed file in memory is a warning: a reboot removes it', async (t) => {
  const node = await goodNode()
  t.teardown(node.end)
  const sealedFile = join(node.config.nodeKeyFile, '../local-keys')
  copyFileSync(node.config.sealedFile, sealedFile)
  const found = (await examine({ ...node, config: { ...node.config, sealedFile } })).join('\n')
  t.match(found, /^warn sealed file: .* is in memory, so a reboot removes .*; set .* on a disk$/m)
  t.match(found, /^ok sealed file: /m)
})

void test('a sealed file that others can read is not all that is found: its folder and its disk are checked, too', async (t) => {
  const node = await goodNode()
  t.teardown(node.end)
  const sealedFile = join(node.config.nodeKeyFile, '../local-keys')
  copyFileSync(node.config.sealedFile, sealedFile)
  chmodSync(sealedFile, 0o644)
  const { access } = fs
  fs.access = () => Promise.reject(Object.assign(new Error('EROFS'), { code: 'EROFS' }))
  syncBuiltinESMExports()
  const found = await examine({ ...node, config: { ...node.config, sealedFile } }).finally(() => {
    fs.access = access
    syncBuiltinESMExports()
  })
  const text = found.join('\n')
  t.match(text, /^warn sealed file: .* mode 0644: other users can copy it/m)
  t.match(text, /^fail sealed file: .* is mounted read-only, .*; mount it read-write$/m)
  t.match(text, /^warn sealed file: .* is in memory, so a reboot removes /m)
})

/** Runs a program that finds a credential in the folder of systemd, in a mount namespace of its own. */
const WITH_CREDENTIAL = `
set -eu
mount -t tmpfs tmpfs "$1"
cp -a /etc/. "$1"
mkdir -p "$1/credstore.encrypted"
cp "$2" "$1/credstore.encrypted/transit-bridge-node-key"
mount --bind "$1" /etc
shift 2
exec "$@"
`

void test('the launcher lets doctor start systemd-creds', { skip: whyNoMounts() }, async (t) => {
  buildProgram()
  const node = await goodNode()
  t.teardown(node.end)
  const folder = tempFolder('doctor')
  const credential = join(folder, 'credential')
  writeFileSync(credential, await new SystemdCreds({}).encrypt(randomBytes(32), 'host'))
  const { sealedFile, nodeKeyFile } = node.config
  const config = join(folder, 'config.yaml')
  const document = {
    vault: {
      address: 'http://127.0.0.1:1',
      auth: { method: 'token', tokenFile: join(folder, 'token') },
    },
    transit: { key: 'k8s-etcd' },
    kms: {
      socket: join(folder, 'kms.sock'),
      clusterId: OWNER.clusterId,
      localKeys: { enabled: true, sealedFile, nodeKeyFile },
    },
  }
  writeFileSync(config, JSON.stringify(document))
  const script = ['--mount', '--propagation', 'private', 'sh', '-c', WITH_CREDENTIAL, 'sh']
  const command = [PROGRAM, 'doctor', '--config', config]
  const args = [...script, tempFolder('etc'), credential, ...command]
  const { stdout, stderr } = await runToEnd('unshare', args)
  t.match(stdout, /^fail +node key credential: .* contains another node key than /m, stderr)
})
