// The chart as helm sees it: valid and invalid values, and what it renders from them.
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'tap'
import { parse } from 'yaml'
import { parseConfig, parseProviderConfig } from '../../../src/config/load.ts'
import { PROGRAM, buildProgram } from '../../commands/program.ts'
import { CHART, helm, renderChart } from '../../real/cluster/helm.ts'
import type { JsonBody } from '../../real/program/json-body.ts'

const GOOD = readdirSync(join(CHART, 'ci')).map((name) => join(CHART, 'ci', name))
const LEAST = ['--set=vault.address=https://vault.example.com:8200', '--set=kms.clusterId=prod']
const CSI = [
  '--set=csi.enabled=true',
  '--set-json=csi.rules=[{"namespaces":["a"],"serviceAccounts":["a"],"roles":["a"],"keys":["a"],"types":["jwks"]}]',
]

/** Invalid values, what helm must report about them, and further arguments. */
const BAD: readonly (readonly [values: string, message: RegExp, more?: readonly string[]])[] = [
  ['kms.mode=pod', /'\/kms\/mode'.*one of 'staticPod', 'daemonSet', 'none'/],
  ['kms.clusterId=', /'\/kms\/clusterId': minLength/],
  ['kms.clusterId=prod eu', /'\/kms\/clusterId'/],
  ['vault.address=', /'\/vault\/address'/],
  ['vault.address=vault.example.com:8200', /'\/vault\/address'/],
  [
    'vault.address=http://vault:8200',
    /http:\/\/vault:8200 sends keys and tokens unencrypted.*https/,
  ],
  [
    'vault.address={https://a,http://b}',
    /vault.address http:\/\/b sends keys and tokens unencrypted/,
  ],
  ['vault.address=http://[::1]:8200,kms.mode=none', /is the pod itself for the CSI provider/, CSI],
  ['vault.address=https://user@vault.example.com', /'\/vault\/address'/],
  ['vault.caBundle=/etc/ca.pem', /'\/vault\/caBundle'/],
  [
    'vault.clientCertificate.certFile=/etc/transit-bridge/c.pem',
    /clientCertificate has only one of certFile and keyFile/,
  ],
  ['vault.clientCertificate.secretName=c', /does not reach a static pod; also set .*certFile/],
  [
    'vault.clientCertificate.certFile=/root/c,vault.clientCertificate.keyFile=/root/k',
    /clientCertificate.certFile must be in kms.staticPod.hostFolder/,
  ],
  [
    'kms.mode=daemonSet,vault.clientCertificate.certFile=/c/c,vault.clientCertificate.keyFile=/c/k',
    /does not apply to kms.mode daemonSet; set vault.clientCertificate.secretName/,
  ],
  ['vault.timeout=2', /'\/vault\/timeout': got number, want string/],
  ['kms.token.expirationSeconds=3600', /'\/kms\/token\/expirationSeconds': minimum/],
  ['kms.settings.outageGrace=two', /'\/kms\/settings\/outageGrace'/],
  ['kms.settings.clusterId=x', /'\/kms\/settings'.*'clusterId' not allowed/],
  ['kms.staticPod.hostFolder=etc', /'\/kms\/staticPod\/hostFolder'/],
  ['kms.auth.method=kubernetes', /'\/kms\/auth\/method'.*one of 'jwt', 'approle'/],
  ['kms.auth.method=approle', /kms.auth.files.roleIdFile is not set.*approle requires it/],
  ['kms.auth.files.tokenFile=/etc/transit-bridge/t', /does not apply to kms.auth.method jwt/],
  [
    'kms.auth.method=token,kms.auth.files.tokenFile=/root/t',
    /must be in kms.staticPod.hostFolder \(\/etc\/transit-bridge\)/,
  ],
  ['kms.mode=daemonSet,kms.removeOnUninstall=true', /'\/kms\/removeOnUninstall'/],
  ['kms.mode=daemonSet,kms.auth.method=cert', /'\/kms\/auth\/method'/],
  ['kms.mode=none', /'\/csi\/enabled': value must be true/],
  ['csi.enabled=true', /'\/csi\/rules': minItems/],
  ['csi.enabled=true,csi.rules[0].namespaces={shop}', /'\/csi\/rules\/0': missing properties/],
  ['image.digest=latest', /'\/image\/digest'/],
  ['image.pullPolicy=Sometimes', /'\/image\/pullPolicy'/],
  ['podMonitor.interval=30', /'\/podMonitor\/interval'/],
  ['networkPolicy.vaultPorts={https}', /'\/networkPolicy\/vaultPorts\/0'/],
  ['kms.seLinuxOptions.type=spc t', /'\/kms\/seLinuxOptions\/type'/],
  ['kmss.mode=none', /'kmss' not allowed/],
  ['kms.extraEnvs[0].name=A', /'extraEnvs' not allowed/],
  ['kms.extraEnv[0].value=a', /'\/kms\/extraEnv\/0': missing property 'name'/],
  ['kms.startupProbe.exec.command={a}', /'exec' not allowed/],
  ['kms.livenessProbe.periodSeconds=0', /'\/kms\/livenessProbe\/periodSeconds': minimum/],
  ['kms.hostAliases[0].ip=192.0.2.1', /missing property 'hostnames'/],
  ['csi.updateStrategy.type=Recreate', /one of 'RollingUpdate', 'OnDelete'/],
  ['commonLabels.team=a b', /'\/commonLabels\/team'/],
  ['commonLabels.app\\.kubernetes\\.io/name=x', /app.kubernetes.io\/name is a label of the chart/],
  ['kms.podLabels.helm\\.sh/chart=x', /kms.podLabels.helm.sh\/chart is a label of the chart/],
  [
    'podMonitor.labels.app\\.kubernetes\\.io/name=x',
    /podMonitor.labels.app.kubernetes.io\/name is a/,
  ],
  ['prometheusRule.labels.helm\\.sh/chart=x', /prometheusRule.labels.helm.sh\/chart is a label/],
  ['grafanaDashboard.label=helm.sh/chart', /grafanaDashboard.label.helm.sh\/chart is a label/],
  ['nameOverride=a b', /'\/nameOverride'/],
  ['fullnameOverride=a.b', /'\/fullnameOverride'/],
  ['csi.priorityClassName=a: b', /'\/csi\/priorityClassName'/],
  ['vault.namespace=a b', /'\/vault\/namespace'/],
  ['vault.serverName=https://vault', /'\/vault\/serverName'/],
  ['kms.auth.role=-a', /'\/kms\/auth\/role'/],
  ['kms.auth.mount=auth/jwt', /kms.auth.mount auth\/jwt starts with auth\/; remove this prefix/],
  ['kms.auth.mount=..', /'\/kms\/auth\/mount'/],
  ['transit.key=a-', /'\/transit\/key'/],
  ['vault.caSecret.name=a,vault.caConfigMap.name=b', /exclude each other; set only one/],
  ['podMonitor.enabled=true,serviceMonitor.enabled=true', /enable only one/],
  ['kms.serviceAccount.create=false', /kms.serviceAccount.name is not set; set the name/],
  ['kms.dnsPolicy=None', /kms.dnsPolicy None requires kms.dnsConfig.nameservers/],
  [
    'kms.extraEnv[0].name=A,kms.extraEnv[0].valueFrom.secretKeyRef.name=s',
    /kms.extraEnv A: a static pod cannot use valueFrom.secretKeyRef/,
  ],
  [
    'kms.extraVolumes[0].name=v,kms.extraVolumes[0].configMap.name=c',
    /kms.extraVolumes v: a static pod cannot use configMap; use hostPath or emptyDir/,
  ],
  [
    'kms.removeOnUninstall=true,kms.updateStrategy.type=OnDelete',
    /kms.removeOnUninstall needs installers that are updated/,
  ],
  ['vault.address=https://2001:db8::1', /write an IPv6 address in brackets/],
  ['vault.address=https://[::1', /write an IPv6 address in brackets/],
  ['vault.address=https://vault:', /is not a host and a port/],
  ['vault.address=https://vault:0', /the port must be from 1 to 65535/],
  ['vault.address=https://vault:65536', /the port must be from 1 to 65535/],
  ['vault.address={https://vault:8200,https://vault:99999}', /from 1 to 65535/],
  ['kms.socketFolder=/etc//transit-bridge', /hostFolder .* is also the folder of kms.socketFolder/],
  [
    'kms.staticPod.hostFolder=/etc/kubernetes/manifests',
    /manifestFolder .* is also the folder of kms.staticPod.hostFolder; choose another folder/,
  ],
  ['kms.socketFolder=/etc/kubernetes/manifests', /is also the folder of kms.socketFolder/],
  [
    'kms.mode=daemonSet,kms.socketFolder=/etc/transit-bridge',
    /kms.socketFolder .* is also the folder of the configuration/,
  ],
  ['csi.providersFolder=/etc/transit-bridge', /csi.providersFolder .* of the configuration/, CSI],
  [
    'csi.providersFolder=/run/transit-bridge,csi.runtime.enabled=true',
    /is also the folder of the run-time sockets/,
    CSI,
  ],
  [
    'csi.providersFolder=/var/lib/kubelet/pods,csi.runtime.enabled=true',
    /is also the folder of the kubelet/,
    CSI,
  ],
  ...['https://vault?a', 'https://vault#a', 'https://va ult'].map(
    (address) => [`vault.address=${address}`, /'\/vault\/address': '.*' does not match/] as const,
  ),
  [`kms.socketFolder=/${'k'.repeat(98)}`, /'\/kms\/socketFolder': maxLength/],
  [`csi.providersFolder=/${'k'.repeat(87)}`, /'\/csi\/providersFolder': maxLength/],
  [
    `csi.runtime.enabled=true,csi.runtime.kubeletFolder=/${'k'.repeat(65)}`,
    /csi.runtime.kubeletFolder makes the path of a socket too long/,
    CSI,
  ],
  [
    'kms.serviceAccount.name=same,csi.serviceAccount.name=same',
    /are both same; use two service accounts/,
    CSI,
  ],
  ['kms.extraEnv[0].name=A,kms.extraEnv[1].name=A', /kms.extraEnv A is set twice/],
  [
    'csi.runtime.enabled=true,csi.extraEnv[0].name=NODE_NAME',
    /csi.extraEnv NODE_NAME is set twice, or by the chart/,
    CSI,
  ],
]

void test('helm lint accepts valid values, for the oldest and the newest Kubernetes', async (t) => {
  for (const file of GOOD) {
    for (const version of ['1.30', '1.37']) {
      const { code, stdout } = await helm([
        'lint',
        CHART,
        `--values=${file}`,
        `--kube-version=${version}`,
        '--strict',
      ])
      t.equal(code, 0, `${file} ${version}: ${stdout}`)
    }
  }
})

void test('what is wrong is refused with a reason', async (t) => {
  for (const [values, message, more = []] of BAD) {
    const set = [...LEAST, ...more, `--set=${values}`]
    const { code, stderr } = await helm(['template', 'x', CHART, '--kube-version=1.37', ...set])
    t.not(code, 0, values)
    t.match(stderr, message, values)
  }
})

void test('helm lint alone finds values that the schema knows to be wrong', async (t) => {
  const { code, stdout } = await helm(['lint', CHART, ...LEAST, '--set=kms.mode=pod'])
  t.not(code, 0)
  t.match(stdout, /one of 'staticPod', 'daemonSet', 'none'/)
})

void test('what the chart writes into ConfigMaps is a configuration of the program', async (t) => {
  for (const file of GOOD) {
    for (const { kind, metadata, data } of await renderChart([`--values=${file}`])) {
      if (kind !== 'ConfigMap' || data['config.yaml'] === undefined) continue
      const read = metadata.name.endsWith('-csi') ? parseProviderConfig : parseConfig
      t.doesNotThrow(
        () => read(metadata.name, data['config.yaml'], { NODE_NAME: 'node-1' }),
        `${file}: ${metadata.name}`,
      )
    }
  }
})

void test('spaces before and after the CA certificates do not matter', async (t) => {
  const pem = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----'
  for (const space of ['\n\n   ', '\t', '\r\n']) {
    const set = [`--set-json=vault.caBundle=${JSON.stringify(`${space}${pem}${space}`)}`]
    const objects = await renderChart([...LEAST, ...CSI, ...set])
    const found = objects.map(({ data }) => data?.['vault-ca.pem']).filter(Boolean)
    t.same(found, [`${pem}\n`, `${pem}\n`], JSON.stringify(space))
  }
})

void test('a client certificate is in the configuration and mounted where it says', async (t) => {
  const files = ['client-certificate-values.yaml', 'client-certificate-daemon-set-values.yaml']
  for (const file of files) {
    const objects = await renderChart([`--values=${join(CHART, 'ci', file)}`])
    for (const { kind, metadata, data } of objects) {
      if (kind !== 'ConfigMap' || data['config.yaml'] === undefined) continue
      const { vault } = parse(data['config.yaml'])
      const where = `${file}: ${metadata.name}`
      if (file === files[0] && metadata.name.endsWith('-kms')) {
        t.equal(vault.clientCertFile, '/etc/transit-bridge/client.pem', where)
        continue
      }
      const user = objects.find(
        (one) => one.kind === 'DaemonSet' && one.metadata.name === metadata.name,
      )
      const { containers, volumes } = user?.spec.template.spec ?? {}
      const volume = volumes.find((one: JsonBody) => one.secret?.secretName === 'vault-client')
      const mount = containers[0].volumeMounts.find((one: JsonBody) => one.name === volume.name)
      t.equal(vault.clientCertFile, `${mount.mountPath}/tls.crt`, where)
      t.equal(vault.clientKeyFile, `${mount.mountPath}/tls.key`, where)
    }
  }
})

void test('the schema of the chart knows the settings that the program knows', (t) => {
  buildProgram()
  const program = JSON.parse(execFileSync(PROGRAM, ['config', 'schema'], { encoding: 'utf8' }))
  const chart = JSON.parse(readFileSync(join(CHART, 'values.schema.json'), 'utf8'))
  const settings = (section: string) =>
    Object.keys(chart.properties[section].properties.settings.properties).toSorted()
  const known = (section: string, elsewhere: readonly string[]) =>
    Object.keys(program.properties[section].properties)
      .filter((name) => !elsewhere.includes(name))
      .toSorted()
  t.same(settings('kms'), known('kms', ['socket', 'clusterId']))
  t.same(settings('csi'), known('csi', ['socket', 'audience', 'auth', 'mount', 'rules', 'runtime']))
  t.end()
})

void test('every container has what it needs and no more', async (t) => {
  for (const file of GOOD) {
    for (const object of await renderChart([`--values=${file}`])) {
      const pod = object.kind === 'Pod' ? object.spec : object.spec?.template?.spec
      if (pod?.containers === undefined) continue
      const where = `${object.kind} ${object.metadata.name}`
      t.same(pod.securityContext.seccompProfile, { type: 'RuntimeDefault' }, where)
      for (const { securityContext, resources } of pod.containers) {
        t.match(securityContext, {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        })
        t.ok(resources.requests.cpu && resources.requests.memory && resources.limits.memory, where)
      }
      const mountsHost = (pod.volumes ?? []).some((volume: JsonBody) => volume.hostPath)
      t.equal(
        pod.securityContext.runAsNonRoot === true,
        !mountsHost,
        `${where}: root only for the host's files`,
      )
      t.equal(
        pod.automountServiceAccountToken !== false,
        object.metadata.name.endsWith('-removal'),
        where,
      )
    }
  }
})

void test('only the removal job has permissions, for one DaemonSet, while it runs', async (t) => {
  const objects = await renderChart([`--values=${join(CHART, 'ci/everything-values.yaml')}`])
  const rbac = objects.filter(({ apiVersion }) => apiVersion.startsWith('rbac.'))
  t.same(
    rbac.map(({ kind }) => kind),
    ['Role', 'RoleBinding'],
  )
  t.same(rbac[0].rules, [
    {
      apiGroups: ['apps'],
      resources: ['daemonsets'],
      resourceNames: ['transit-bridge-kms-installer'],
      verbs: ['get', 'patch'],
    },
  ])
  for (const { metadata } of rbac)
    t.equal(metadata.annotations['helm.sh/hook'], 'pre-delete', 'and it goes with the release')
  const plain = await renderChart([`--values=${join(CHART, 'ci/static-pod-values.yaml')}`])
  t.notOk(plain.some(({ apiVersion }) => apiVersion.startsWith('rbac.')))
  t.notOk(plain.some(({ metadata }) => metadata.annotations?.['helm.sh/hook'] === 'pre-delete'))
})

void test('alerts and dashboard are the files of the chart', async (t) => {
  const objects = await renderChart([`--values=${join(CHART, 'ci/everything-values.yaml')}`])
  const rule = objects.find(({ kind }) => kind === 'PrometheusRule')
  t.same(
    rule?.spec,
    parse(
      readFileSync(join(CHART, 'rules/transit-bridge.yaml'), 'utf8')
        .replace('for: 72h', 'for: 2160h')
        .replace('transit-bridge.*', '(transit-bridge).*'),
    ),
    'with prometheusRule.rotationOverdueAfter in its place',
  )
  const dashboard = objects.find(({ data }) => data?.['transit-bridge.json'] !== undefined)
  t.equal(dashboard?.metadata.labels.grafana_dashboard, '1')
  t.same(
    JSON.parse(dashboard?.data['transit-bridge.json']),
    JSON.parse(readFileSync(join(CHART, 'dashboards/transit-bridge.json'), 'utf8')),
  )
})

void test('thresholds, durations and labels of alerts are values, and a wrong name is refused', async (t) => {
  const rulesWith = async (...settings: string[]) => {
    const set = ['prometheusRule.enabled=true', ...settings].map((each) => `--set=${each}`)
    const objects = await renderChart([...LEAST, ...set])
    const spec = objects.find(({ kind }) => kind === 'PrometheusRule')?.spec as
      | { groups: { rules: { alert: string; expr: string; for: string; labels: object }[] }[] }
      | undefined
    return new Map(spec?.groups[0]?.rules.map((rule) => [rule.alert, rule]))
  }
  const changed = await rulesWith(
    'nameOverride=tb',
    'prometheusRule.alertLabels.team=platform',
    'prometheusRule.alerts.TransitBridgeVaultSlow.threshold=1.5',
    'prometheusRule.alerts.TransitBridgeVaultSlow.labels.severity=none',
    'prometheusRule.alerts.TransitBridgeVaultSlow.for=1h',
    'prometheusRule.alerts.TransitBridgeMountsFail.enabled=false',
  )
  t.match(changed.get('TransitBridgeVaultSlow'), {
    expr: /> 1\.5$/,
    for: '1h',
    labels: { severity: 'none', team: 'platform' },
  })
  t.match(changed.get('TransitBridgeLoginsFail'), {
    expr: /> 120$/,
    labels: { severity: 'warning', team: 'platform' },
  })
  t.match(changed.get('TransitBridgeTargetDown')?.expr, 'job=~"(transit-bridge|tb).*"')
  t.notOk(changed.has('TransitBridgeMountsFail'))
  t.ok(changed.has('TransitBridgePluginGone'))
  const csi = ['csi.enabled=true', 'csi.rules[0].namespaces={shop}'].concat(
    ['serviceAccounts', 'roles', 'keys'].map((name) => `csi.rules[0].${name}={web}`),
    'csi.rules[0].types={publicKey}',
  )
  const without = await rulesWith('kms.mode=none', ...csi)
  t.notOk(without.has('TransitBridgePluginGone'), 'there is none to miss')
  await t.rejects(
    rulesWith('prometheusRule.alerts.TransitBridgeSlow.enabled=false'),
    /TransitBridgeSlow: there is no such alert/,
  )
  await t.rejects(
    rulesWith('prometheusRule.alerts.TransitBridgePluginUnhealthy.threshold=2'),
    /TransitBridgePluginUnhealthy has no threshold/,
  )
})

void test('pods that use files of the host run with the SELinux options of the values', async (t) => {
  const csi = '--values=' + join(CHART, 'ci/everything-values.yaml')
  const set = ['--set=kms.seLinuxOptions.type=spc_t', '--set=csi.seLinuxOptions.type=spc_t']
  for (const args of [
    [csi, ...set],
    [...LEAST, ...set, '--set=kms.mode=daemonSet'],
  ]) {
    for (const object of await renderChart(args)) {
      const pod = object.kind === 'Pod' ? object.spec : object.spec?.template?.spec
      const usesHost = (pod?.volumes ?? []).some((volume: JsonBody) => volume.hostPath)
      if (!usesHost) continue
      t.same(pod.securityContext.seLinuxOptions, { type: 'spc_t' }, object.metadata.name)
      const { args: given } = pod.containers[0]
      if (given[0] === 'install-node') t.ok(given.includes('--selinux-type=spc_t'))
    }
  }
})

void test('the plugin is open to other hosts only where Prometheus must reach it', async (t) => {
  const listen = async (...args: string[]) => {
    const objects = await renderChart([...LEAST, ...args])
    const map = objects.find(({ metadata }) => metadata.name === 'transit-bridge-kms' && metadata)
    const config = objects.find(({ kind }) => kind === 'ConfigMap') ?? map
    return parse(config?.data['config.yaml']).admin.listen as string
  }
  t.equal(await listen(), '127.0.0.1:9390')
  t.equal(await listen('--set=podMonitor.enabled=true'), '*:9390')
})
