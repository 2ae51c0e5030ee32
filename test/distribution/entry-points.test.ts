import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'

import { IMAGE_ENTRYPOINT, NODE_OPTIONS, VERSION } from '../../scripts/distribution.ts'
import { COMMON_FILES, findFileNeeds } from '../../src/config/file-needs.ts'
import { parseProviderConfig } from '../../src/config/load.ts'
import { permissionOptions } from '../../src/node/files/permission-options.ts'

const ROOT = join(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(join(ROOT, file), 'utf8')

void test('the image starts Node.js with the options of the launcher', (t) => {
  t.ok(NODE_OPTIONS.includes('--disable-sigusr1'), 'SIGUSR1 opens no inspector')
  t.ok(NODE_OPTIONS.some((option) => option.startsWith('--max-old-space-size=')))
  const [, entrypoint = ''] = /^ENTRYPOINT (.+)$/m.exec(read('Dockerfile')) ?? []
  t.same(JSON.parse(entrypoint), IMAGE_ENTRYPOINT)
  t.end()
})

void test('the image has the memory settings of the launcher', (t) => {
  const [, launcher] = /^export (MALLOC_.+)$/m.exec(read('bin/transit-bridge')) ?? []
  const [, image] = /^ENV (MALLOC_.+)$/m.exec(read('Dockerfile')) ?? []
  t.match(launcher, /\bMALLOC_ARENA_MAX=1\b/)
  t.equal(image, launcher)
  t.end()
})

void test('the image has the version of the program, and does not run as root by default', (t) => {
  const dockerfile = read('Dockerfile')
  t.match(dockerfile, `image.version="${VERSION}"`)
  t.match(dockerfile, /^FROM scratch$/m)
  t.match(dockerfile, /^USER 65532:65532$/m)
  t.notMatch(dockerfile, /:latest/)
  t.end()
})

/** Configurations in which every path that a server writes to is a default. */
const VAULT = 'vault: {address: "https://127.0.0.1:8200"'
const LOGIN = 'auth: {method: kubernetes, role: kms, tokenFile: /run/token}'
const KMS_DEFAULTS = `${VAULT}, ${LOGIN}}
transit: {key: k8s}
kms: {clusterId: prod}`
const RULE = `{namespaces: ['*'], serviceAccounts: ['*'], roles: ['*'], keys: ['*'], types: [jwks]}`
const CSI_DEFAULTS = `${VAULT}}
csi: {audience: vault, rules: [${RULE}], runtime: {enabled: true}}`

void test('launcher, static pod and chart start Node.js with the same restrictions', (t) => {
  const launcher = read('bin/transit-bridge')
  const chart = read('helm/transit-bridge/templates/_configuration.tpl')
  const pod = permissionOptions({ socket: '/a/kms.sock', files: [] }) ?? ''
  const flags = pod.split(' ').filter((option) => !option.startsWith('--allow-fs-'))
  t.ok(flags.includes('--permission') && flags.includes('--no-experimental-sqlite'))
  const ofLauncher = /^permission="(--permission.+)"$/m.exec(launcher)?.[1] ?? ''
  const [, net = ''] = /^net=(--.+)$/m.exec(launcher) ?? []
  t.same(ofLauncher.replace('$net', net).split('$newline'), flags)
  t.same(/^--permission .+$/m.exec(chart)?.[0].split(' '), flags)

  const files = /^ {2}for file in (.+); do$/m.exec(launcher)?.[1]
  t.same(files?.split(' '), COMMON_FILES)
  const folders = (text = '') =>
    text
      .split(/[\s\\]+/)
      .map((folder) => `${folder}/*`)
      .toSorted()
  const needs = (role: 'kms' | 'csi', text: string) =>
    findFileNeeds(parseProviderConfig('config.yaml', text, {}).config, role).write.toSorted()
  const [, ofKms] = /^ {4}grant_folder (\/.+)$/m.exec(launcher) ?? []
  t.same(folders(ofKms), needs('kms', KMS_DEFAULTS))
  const [, ofCsi] = /^ {4}for folder in ([^;]+); do$/m.exec(launcher) ?? []
  t.same(folders(ofCsi), needs('csi', CSI_DEFAULTS))
  t.match(chart, `$read := list ${COMMON_FILES.map((file) => JSON.stringify(file)).join(' ')} `)
  t.end()
})
