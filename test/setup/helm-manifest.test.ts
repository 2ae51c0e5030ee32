// What setup reads from the manifest of a release. The real chart is in test/e2e/chart/helm-release.test.ts.
import { test, type Test } from 'tap'
import { CertificateAuthority } from '../real/host/pki.ts'
import { OpenBao, usesVault } from '../real/vault/openbao.ts'
import { runHere, SetupFixture } from './fixture.ts'

interface Parts {
  readonly address: string
  readonly vault?: string
  readonly data?: string
  readonly audience?: string
  readonly name?: string
  readonly kms?: string
}

/** The objects of a release that matter, as helm renders them. */
function render({ address, vault = '', data = '', audience, name = 'x-kms', kms }: Parts): string {
  const login = '{method: jwt, role: transit-bridge-kms, tokenFile: /etc/transit-bridge/token}'
  return `---
apiVersion: v1
kind: ConfigMap
metadata: {name: ${name}, namespace: keys, labels: {app.kubernetes.io/part-of: transit-bridge}}
data:
  config.yaml: |
    vault: {address: "${address}", auth: ${login}${vault}}
    transit: {key: etcd}
    ${kms ?? 'kms: {clusterId: prod}'}
${data}---
apiVersion: v1
kind: ConfigMap
metadata: {name: other, labels: {app.kubernetes.io/part-of: other}}
data: {config.yaml: "a: 1"}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: installer, namespace: keys}
spec:
  template:
    spec:
      serviceAccountName: account-of-release
      volumes:
        - {name: source, configMap: {name: ${name}}}
        - {name: token, projected: {sources: [{serviceAccountToken: {path: token, audience: ${audience ?? 'vault'}}}]}}
`
}

async function start(t: Test) {
  const fixture = await SetupFixture.start(t)
  const environment = { VAULT_TOKEN: fixture.bao.rootToken }
  const keys = ['--service-account-key', fixture.keyFile, '--issuer', fixture.issuer.issuer]
  const setup = (text: string, ...args: string[]) => {
    const file = fixture.write('manifest.yaml', text)
    return runHere(['setup', '--helm-manifest', file, ...keys, ...args], environment)
  }
  return { fixture, setup, address: fixture.bao.address }
}

void test('account and audience are those of the pods that mount the configuration', async (t) => {
  const { setup, address } = await start(t)
  const manifest = render({ address, audience: 'pods-of-keys' })
  const { code, stdout, stderr } = await setup(manifest, '--dry-run')
  t.equal(code, 0, stderr)
  t.match(stdout, 'bound_subject: system:serviceaccount:keys:account-of-release')
  t.match(stdout, 'bound_audiences: pods-of-keys')
  const typed = await setup(manifest, '--dry-run', '--service-account=a/b', '--audience=c')
  t.match(typed.stdout, /bound_audiences: c\n.*bound_subject: system:serviceaccount:a:b/)
})

void test('variables in the configuration have the values that the pods have', async (t) => {
  const { setup, address } = await start(t)
  const kms =
    "kms: {clusterId: 'prod-${REGION}'}\n    csi: {runtime: {enabled: true, nodeName: '${NODE_NAME}'}, audience: vault, rules: []}"
  const withVariables = (...env: string[]) =>
    `${render({ address, kms }).trimEnd()}\n      containers: [{name: kms, env: [${env.join(', ')}]}]\n`
  const node = '{name: NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}'
  const region = '{name: REGION, value: eu}'
  t.match(await setup(withVariables(node, region), '--dry-run'), { code: 0, stderr: '' })
  const data = `  pod.yaml: "spec: {containers: [{env: [${region}]}]}"\n`
  const ofStaticPod = render({ address, data, kms: "kms: {clusterId: 'prod-${REGION}'}" })
  t.match(await setup(ofStaticPod, '--dry-run'), { code: 0, stderr: '' })
  const secret = '{name: REGION, valueFrom: {secretKeyRef: {name: a, key: b}}}'
  t.match(await setup(withVariables(node, secret), '--dry-run'), {
    code: 2,
    stderr: /needs the environment variable REGION, which is not set/,
  })
})

/** Manifests and options that are refused, before Vault is asked. */
const REFUSED: readonly (readonly [
  change: (good: string, address: string) => string,
  args: string,
  words: RegExp,
])[] = [
  [() => 'kind: Pod', '', /contains no ConfigMap with a config.yaml; pass what helm template/],
  [() => 'a: [', '', /manifest.yaml:1 is not YAML/],
  [
    (good) => good.replace(', namespace: keys', ''),
    '',
    /ConfigMap x-kms has no metadata.namespace/,
  ],
  [(good, address) => good + render({ address, name: 'y' }), '', /contains several releases/],
  [
    (good) => good.replace('kms: {clusterId', 'kms: {id'),
    '',
    /ConfigMap keys\/x-kms: config.yaml:3: kms/,
  ],
  [(_, address) => render({ address, kms: 'admin: {}' }), '', /contains no configuration of/],
  [
    (_, address) => render({ address, vault: ', caFile: /etc/ca.pem' }),
    '',
    /needs --vault-ca FILE: the CA certificate of Vault \(in pods \/etc\/ca.pem\)/,
  ],
  [
    () => render({ address: 'https://x', vault: ', clientCertFile: /c, clientKeyFile: /k' }),
    '',
    /needs --vault-client-cert FILE and --vault-client-key FILE: Vault requires/,
  ],
  [(good) => good, '--vault-client-cert=/c', /need each other/],
  [(good) => good, '--config=x', /takes only one of --config and --helm-manifest/],
]

void test('what is not the manifest of one release is refused', async (t) => {
  const { fixture, setup, address } = await start(t)
  const since = fixture.bao.auditMark()
  for (const [change, args, words] of REFUSED) {
    const text = change(render({ address }), address)
    const outcome = await setup(text, '--dry-run', ...args.split(' ').filter(Boolean))
    t.match(outcome, { code: 2, stdout: '', stderr: words })
  }
  t.match(await fixture.setup(['--vault-ca=/c']), { code: 2, stderr: /need --helm-manifest/ })
  t.match(await runHere(['setup']), { code: 2, stderr: /needs --config FILE, or with Helm/ })
  t.strictSame(fixture.bao.auditRequests({ since }), [])
})

void test('the CA of Vault comes from the manifest or from a file', async (t) => {
  const { fixture, setup } = await start(t)
  const authority = await CertificateAuthority.create('CA of Vault')
  const client = usesVault() ? undefined : await authority.client('operator')
  const bao = await OpenBao.start({
    tls: {
      ...(await authority.server('vault')),
      caFile: authority.caFile,
      ...(client === undefined ? {} : { clientCaFile: authority.caFile, required: client }),
    },
  })
  t.teardown(() => bao.stop())
  const own =
    client === undefined
      ? []
      : [`--vault-client-cert=${client.certFile}`, `--vault-client-key=${client.keyFile}`]
  const token = ['--dry-run', `--token-file=${fixture.write('token', bao.rootToken)}`, ...own]
  const vault = ', caFile: /etc/transit-bridge/vault-ca.pem'
  const pem = authority.caPem.trim().replaceAll(/^/gm, '    ').trimEnd()
  const data = `  vault-ca.pem: |\n${pem}\n`
  const given = { address: bao.address, vault }
  t.match(await setup(render({ ...given, data }), ...token), { code: 0, stderr: '' })
  const file = `--vault-ca=${authority.caFile}`
  t.match(await setup(render(given), ...token, file), { code: 0, stderr: '' })
})
