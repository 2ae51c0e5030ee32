// Odd values, releases beside each other, and a release that was installed before a value existed.
import { cpSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { isMap, parseAllDocuments, parseDocument } from 'yaml'
import { restrictFiles } from '../../../src/commands/cli/process/file-rights.ts'
import { findFileNeeds } from '../../../src/config/file-needs.ts'
import { parseProviderConfig } from '../../../src/config/load.ts'
import { CHART, helm } from '../../real/cluster/helm.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import type { JsonBody } from '../../real/program/json-body.ts'

const LEAST = ['--set=vault.address=https://vault:8200', '--set=kms.clusterId=prod']
const CSI = [
  '--set=csi.enabled=true',
  '--set-json=csi.rules=[{"namespaces":["a"],"serviceAccounts":["a"],"roles":["a"],"keys":["a"],"types":["jwks"]}]',
]

async function render(
  args: readonly string[],
  { release = 'x', chart = CHART }: { release?: string; chart?: string } = {},
): Promise<JsonBody[]> {
  const { code, stdout, stderr } = await helm([
    'template',
    release,
    chart,
    '--namespace=keys',
    '--kube-version=1.37',
    ...args,
  ])
  if (code !== 0) throw new Error(stderr)
  // parseAllDocuments reports a mapping with the same key twice, which the API server refuses.
  return parseAllDocuments(stdout).map((document) => {
    if (document.errors.length > 0) throw new Error(`${String(document.errors[0])}\n${stdout}`)
    return document.toJS()
  })
}

const refsOf = (objects: readonly JsonBody[]) =>
  objects
    .filter((object) => object !== null)
    .map(({ kind, metadata }) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`)

/** Paths of the values that a mapping in braces does not contain. */
function valuesOf(node: unknown, path = ''): string[] {
  if (!isMap(node) || node.flow === true || node.items.length === 0) return [path]
  return node.items.flatMap(({ key, value }) =>
    valuesOf(value, path === '' ? String(key) : `${path}.${String(key)}`),
  )
}

void test('every value is used by a template', (t) => {
  const text = readFileSync(join(CHART, 'values.yaml'), 'utf8')
  const templates = readdirSync(join(CHART, 'templates'), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(yaml|tpl|txt)$/.test(name))
    .map((name) => readFileSync(join(CHART, 'templates', name), 'utf8'))
    .join('\n')
  const values = valuesOf(parseDocument(text).contents)
  t.ok(values.length > 120, String(values.length))
  for (const value of values) {
    const name = value.split('.').at(-1) ?? ''
    t.ok(new RegExp(`[."]${name}\\b`).test(templates), value)
  }
  t.end()
})

void test('every value changes what is rendered, or is refused', async (t) => {
  const all = [...LEAST, ...CSI, '--set=networkPolicy.enabled=true,grafanaDashboard.enabled=true']
  all.push('--set=prometheusRule.enabled=true,podMonitor.enabled=true')
  const plain = JSON.stringify(await render(all))
  for (const args of [
    ['--set=kms.adminPort=9999'],
    ['--set=csi.adminPort=9999'],
    ['--set=kms.staticPod.resources.limits.memory=1Gi'],
    ['--set=vault.namespace=n'],
    ['--set=podMonitor.scrapeTimeout=5s'],
    ['--set=kms.priorityClassName='],
    ['--set=csi.serviceAccount.create=false,csi.serviceAccount.name=x'],
  ])
    t.not(JSON.stringify(await render([...all, ...args])), plain, args.join(' '))
})

void test('NODE_OPTIONS in csi.extraEnv replaces that of the chart', async (t) => {
  const text = JSON.stringify([{ name: 'NODE_OPTIONS', value: '--use-openssl-ca' }])
  const own = JSON.stringify(await render([...LEAST, ...CSI, `--set-json=csi.extraEnv=${text}`]))
  const plain = JSON.stringify(await render([...LEAST, ...CSI]))
  const count = (manifests: string) => manifests.split('NODE_OPTIONS').length
  t.match(own, '--use-openssl-ca')
  t.equal(count(own), count(plain))
})

void test('the provider of the chart has the right to every file of its configuration', async (t) => {
  for (const args of [
    [],
    ['--set=csi.runtime.enabled=true'],
    ['--set=csi.runtime.enabled=true,csi.runtime.kubeletFolder=/data/kubelet'],
    ['--set=csi.runtime.enabled=true,csi.runtime.driverName=transit.example.com'],
    ['--set=kms.mode=daemonSet,vault.caSecret.name=ca,vault.clientCertificate.secretName=client'],
    ['--set=csi.providersFolder=/etc/providers'],
  ]) {
    const objects = await render([...LEAST, ...CSI, ...args])
    const named = (kind: string) =>
      objects.find((each) => each?.kind === kind && each.metadata.name.endsWith('-csi'))
    const text = String(named('ConfigMap')?.data['config.yaml'])
    const { config } = parseProviderConfig('config.yaml', text, { NODE_NAME: 'n' })
    const env = (named('DaemonSet')?.spec.template.spec.containers[0]?.env ?? []) as JsonBody[]
    const options = String(env.find(({ name }) => name === 'NODE_OPTIONS')?.value)
    const dropped: string[] = []
    const rights = {
      has: () => true,
      drop: (scope: string, path = '') => void dropped.push(`${scope} ${path}`),
    }
    const program = '/app/dist/transit-bridge.cjs'
    const why = restrictFiles(findFileNeeds(config, 'csi'), rights, options.split(' '), program)
    t.equal(why, undefined, args.join(' '))
    t.ok(dropped.includes('fs.read /') && dropped.includes('fs.write /'))
  }
})

void test('empty lists, empty mappings, null and zero leave valid manifests', async (t) => {
  const empty = ['tolerations', 'extraEnv', 'extraArgs', 'extraVolumes', 'hostAliases']
  const mappings = ['nodeSelector', 'affinity', 'resources', 'podLabels', 'dnsConfig']
  const nullable = [...empty, ...mappings, 'securityContext', 'priorityClassName', 'updateStrategy']
  const ofPart = (part: string) => [
    [...empty.map((name) => `${part}.${name}=[]`), ...mappings.map((name) => `${part}.${name}={}`)],
    [...nullable.map((name) => `${part}.${name}=null`), `${part}.startupProbe={"periodSeconds":9}`],
  ]
  for (const mode of ['staticPod', 'daemonSet']) {
    for (const sets of [...ofPart('kms'), ...ofPart('csi')]) {
      const args = sets.map((set) => `--set-json=${set}`)
      t.ok(await render([...LEAST, ...CSI, `--set=kms.mode=${mode}`, ...args]), sets.join(' '))
    }
  }
  for (const value of ['kms.serviceAccount', 'csi.settings', 'kms.adminPort', 'image'])
    await t.rejects(render([...LEAST, `--set-json=${value}=null`]), /missing propert/, value)
  const nulls = [
    'commonLabels',
    'extraObjects',
    'imagePullSecrets',
    'serviceMonitor',
    'nameOverride',
  ]
  t.ok(await render([...LEAST, ...nulls.map((name) => `--set-json=${name}=null`)]))
})

void test('a text that looks like a number stays a text', async (t) => {
  const texts = ['image.repository=5', 'kms.token.audience=5', 'vault.caSecret.name=5']
  texts.push('kms.serviceAccount.name=5', 'csi.serviceAccount.name=6', 'csi.audience=5')
  texts.push('kms.priorityClassName=5', 'csi.priorityClassName=5', 'vault.caSecret.key=5')
  const sets = texts.map((text) => `--set-string=${text}`)
  const others = 'podMonitor.enabled=true,csi.runtime.enabled=true,networkPolicy.enabled=true'
  for (const mode of ['staticPod', 'daemonSet']) {
    const args = [...LEAST, ...CSI, ...sets, `--set=${others},kms.mode=${mode}`, '--namespace=5']
    for (const object of await render(args, { release: '5' })) t.same(numbersIn(object), [], mode)
  }
})

/** The numbers at names whose values are texts in Kubernetes. */
function numbersIn(object: JsonBody): string[] {
  const text = /(^|\/|\.)(\w*[nN]ame|namespace|image|audience|key|instance|matchNames)$/
  const walk = (value: unknown, path: string): string[] => {
    if (typeof value === 'number') return text.test(path.replace(/\.\d+$/, '')) ? [path] : []
    if (typeof value !== 'object' || value === null) return []
    return Object.entries(value).flatMap(([name, inner]) => walk(inner, `${path}.${name}`))
  }
  return walk(object, object?.kind ?? '')
}

void test('a label or an annotation in two values is rendered once', async (t) => {
  const objects = await render([
    ...LEAST,
    '--set=commonLabels.release=a,commonLabels.grafana_dashboard=a',
    '--set=podMonitor.enabled=true,podMonitor.labels.release=b',
    '--set=prometheusRule.enabled=true,prometheusRule.labels.release=b',
    '--set=grafanaDashboard.enabled=true',
    '--set=kms.podAnnotations.checksum/config=a',
  ])
  const find = (kind: string) => objects.find((object) => object.kind === kind)
  t.equal(find('PodMonitor')?.metadata.labels.release, 'b')
  t.equal(find('PrometheusRule')?.metadata.labels.release, 'b')
  const dashboard = objects.find(({ metadata }) => metadata.name.endsWith('-dashboard'))
  t.equal(dashboard?.metadata.labels.grafana_dashboard, '1')
  t.match(
    find('DaemonSet')?.spec.template.metadata.annotations['checksum/config'],
    /^[0-9a-f]{64}$/,
  )
})

void test('the notes name what setup creates, and what a power cut needs', async (t) => {
  // helm template does not print notes, so they are rendered as an object.
  const chart = join(tempFolder('chart'), 'transit-bridge')
  cpSync(CHART, chart, { recursive: true })
  cpSync(join(CHART, 'templates/NOTES.txt'), join(chart, 'notes'))
  const object = `{kind: Notes, metadata: {name: notes}, text: {{ tpl (.Files.Get "notes") . | toJson }}}`
  writeFileSync(join(chart, 'templates/notes.yaml'), object)
  const notesOf = async (values: string) => {
    const args = [`--values=${join(CHART, 'ci', values)}`]
    const objects = await render(args, { chart, release: 'prod' })
    return String(objects.find(({ kind }) => kind === 'Notes')?.['text'])
  }
  const jwt = await notesOf('static-pod-values.yaml')
  t.match(jwt, 'bound_subject=system:serviceaccount:keys:prod-transit-bridge-kms')
  t.match(jwt, 'before the token expires: 604800 seconds')
  const kubernetes = await notesOf('daemon-set-values.yaml')
  t.match(kubernetes, /bound_service_account_names=prod-transit-bridge-kms\n.*namespaces=keys\n/)
  t.notMatch(kubernetes, 'bound_subject')
  const approle = await notesOf('approle-values.yaml')
  t.match(approle, 'before its credential in /etc/transit-bridge expires')
  t.notMatch(approle, 'token expires')
})

void test('tokens are in secrets where Kubernetes can do it', async (t) => {
  for (const [version, expected] of [
    ['1.34.9', undefined],
    ['1.35.0', true],
  ] as const) {
    const args = [...LEAST, ...CSI, '--set=csi.runtime.enabled=true', `--kube-version=${version}`]
    const driver = (await render(args)).find(({ kind }) => kind === 'CSIDriver')
    t.equal(driver?.spec.serviceAccountTokenInSecrets, expected, version)
  }
  await t.rejects(
    render([...LEAST, '--set=csi.runtime.enabled=true']),
    /csi.runtime.enabled has no effect without csi.enabled/,
  )
})

void test('names stay within their limits and differ by release', async (t) => {
  const long = 'r'.repeat(53)
  const sets = [
    '--set=serviceMonitor.enabled=true,networkPolicy.enabled=true,kms.removeOnUninstall=true',
    '--set=prometheusRule.enabled=true,grafanaDashboard.enabled=true',
  ]
  const full = `--set=fullnameOverride=${'f'.repeat(50)},nameOverride=${'n'.repeat(63)}`
  for (const args of [[], [full]]) {
    for (const { kind, metadata } of await render([...LEAST, ...CSI, ...sets, ...args], {
      release: long,
    })) {
      // A Service and a Job have names that are labels, too; a pod's hostname is cut.
      const limit = ['Service', 'Job'].includes(kind) ? 63 : 253
      t.ok(metadata.name.length <= limit, `${kind} ${metadata.name}`)
      for (const [label, value] of Object.entries(metadata.labels))
        t.ok(
          String(value).length <= 63 && !/[-_.]$/.test(String(value)),
          `${label}: ${String(value)}`,
        )
    }
  }
  const [one, two] = await Promise.all(
    ['one', 'two'].map(async (release) =>
      refsOf(await render([...LEAST, ...CSI, '--set=kms.mode=daemonSet'], { release })),
    ),
  )
  t.same(
    one?.filter((ref) => two?.includes(ref)),
    [],
    'two releases in one namespace',
  )
  t.equal(new Set(one).size, one?.length)
})

void test('a release from before these values is upgraded with --reuse-values', async (t) => {
  // With --reuse-values, helm takes the values.yaml of the release that is installed in place of the new one.
  const chart = join(tempFolder('chart'), 'transit-bridge')
  cpSync(CHART, chart, { recursive: true })
  const released = readFileSync(join(import.meta.dirname, 'released-values.yaml'), 'utf8')
  writeFileSync(join(chart, 'values.yaml'), released)
  for (const name of readdirSync(join(CHART, 'ci'))) {
    const values = [`--values=${join(CHART, 'ci', name)}`]
    const withoutPorts = (objects: JsonBody[]) =>
      objects.filter(({ kind }) => kind !== 'NetworkPolicy')
    const upgraded = await render(values, { chart })
    t.same(withoutPorts(upgraded), withoutPorts(await render(values)), name)
  }
  const newer = [...LEAST, ...CSI, '--set=csi.runtime.enabled=true,serviceMonitor.enabled=true']
  t.same(await render(newer, { chart }), await render(newer), 'with parts that it did not have')
  const ports = (await render([...LEAST, ...CSI, '--set=networkPolicy.enabled=true'], { chart }))
    .filter(({ kind }) => kind === 'NetworkPolicy')
    .flatMap(({ spec }) => spec.egress.flatMap((rule: JsonBody) => rule.ports))
  t.match(ports, [{ port: 8200 }, { port: 443 }], 'the ports of the old values')
})

void test('a package of the chart passes helm lint without a warning', async (t) => {
  const folder = tempFolder('package')
  const packed = await helm(['package', CHART, `--destination=${folder}`])
  t.equal(packed.code, 0, packed.stderr)
  const [name = ''] = readdirSync(folder)
  for (const chart of [CHART, join(folder, name)]) {
    const { code, stdout } = await helm(['lint', chart, '--strict', ...LEAST])
    t.equal(code, 0, stdout)
    t.notMatch(stdout, /\[(INFO|WARNING|ERROR)\]/, stdout)
  }
  const files = await helm(['show', 'all', join(folder, name)])
  t.match(files.stdout, /# transit-bridge/, 'with its README')
})
