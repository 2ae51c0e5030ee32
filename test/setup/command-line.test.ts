import { join } from 'node:path'
import { Writable } from 'node:stream'
import { test } from 'tap'
import { usesVault } from '../real/vault/openbao.ts'

import { runSetup } from '../../src/commands/setup/setup.ts'
import { buildProgram, run } from '../commands/program.ts'
import { runHere, SetupFixture } from './fixture.ts'

void test('a person at a terminal is asked, and only yes applies', async (t) => {
  const fixture = await SetupFixture.start(t)
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() })
  const values = {
    config: join(fixture.folder, 'config.yaml'),
    helmManifest: undefined,
    vaultCa: undefined,
    vaultClientCert: undefined,
    vaultClientKey: undefined,
    tokenFile: undefined,
    kubeconfig: undefined,
    jwks: undefined,
    serviceAccountKey: fixture.keyFile,
    issuer: fixture.issuer.issuer,
    serviceAccount: { namespace: 'kube-system', name: 'transit-bridge-kms' },
    audience: undefined,
    policy: undefined,
    kubernetesHost: undefined,
    kubernetesCa: undefined,
    reviewerTokenFile: undefined,
    noReviewerToken: false,
    remove: false,
    dryRun: false,
    output: 'text',
    yes: false,
    operands: [],
  } as const
  const terminal = {
    stdout: silent,
    stderr: silent,
    environment: { BAO_TOKEN: fixture.bao.rootToken },
  }
  const questions: string[] = []
  const answer = (yes: boolean) => async (question: string) => {
    questions.push(question)
    return yes
  }
  t.equal(await runSetup(values, terminal, answer(false)), 2)
  t.match(await fixture.setup(['--dry-run']), { stdout: /7 to add/ })
  t.equal(await runSetup(values, terminal, answer(true)), 0)
  t.equal(await runSetup(values, terminal, answer(true)), 0)
  t.strictSame(
    questions,
    ['Apply these changes?', 'Apply these changes?'],
    'nothing to do, nothing to ask',
  )
})

void test('the operator token comes from a file, the environment, or bao login', async (t) => {
  const fixture = await SetupFixture.start(t)
  const config = ['setup', '--config', join(fixture.folder, 'config.yaml'), '--dry-run']
  const keys = ['--service-account-key', fixture.keyFile, '--issuer', fixture.issuer.issuer]
  const args = [...config, ...keys]
  t.match(await runHere(args), {
    code: 2,
    stderr: /there is no operator token; log in with bao login/,
  })
  t.match(await runHere(args, { HOME: fixture.folder }), {
    code: 2,
    stderr: /there is no operator token/,
  })
  fixture.write('.vault-token', `${fixture.bao.rootToken}\n`)
  t.match(await runHere(args, { HOME: fixture.folder }), { code: 0 })
  const file = ['--token-file', join(fixture.folder, '.vault-token')]
  t.match(await runHere([...args, ...file], { VAULT_TOKEN: 'wrong' }), { code: 0 })
  const refused = await runHere(args, { VAULT_TOKEN: 'hvs.secret-that-is-wrong' })
  t.match(refused, { code: 1, stderr: /denies look up rights/ })
  t.notMatch(refused.stderr, 'secret-that-is-wrong')
})

/** Wrong command lines, and the message for each. */
const MISTAKES: readonly (readonly [args: string, words: RegExp])[] = [
  ['--dry-run', /needs one of --kubeconfig, --jwks and --service-account-key/],
  ['--jwks @sa.pub --service-account-key @sa.pub', /takes only one of --kubeconfig/],
  ['--jwks @sa.pub', /needs --issuer ISSUER/],
  ['--jwks @sa.pub --issuer x', /sa\.pub is not a JWKS with public keys/],
  ['--service-account-key @none --issuer x', /none: cannot be read: there is no such file/],
  ['--kubeconfig @none', /none: cannot be read: there is no such file/],
  [
    '--service-account-key @sa.pub --issuer x --service-account me',
    /--service-account must be NAMESPACE\/NAME/,
  ],
  [
    '--service-account-key @sa.pub --issuer x --policy root',
    /--policy must not be root, a policy of Vault itself/,
  ],
  [
    '--service-account-key @sa.pub --issuer x --policy a/b',
    /--policy is not a valid Vault name; use letters/,
  ],
  ['--output yaml', /--output must be text, hcl, commands or json/],
  ['--output hcl', /--output needs --dry-run/],
  ['--dry-run --yes', /--dry-run and --yes cannot be used together/],
]
void test('a wrong command line is reported before Vault is asked', async (t) => {
  const fixture = await SetupFixture.start(t)
  const since = fixture.bao.auditMark()
  for (const [args, words] of MISTAKES) {
    const given = args.split(' ').map((word) => word.replace('@', `${fixture.folder}/`))
    t.match(await fixture.bare(given), { code: 2, stdout: '', stderr: words }, args)
  }
  fixture.configure({ auth: '{method: kubernetes, role: x, tokenFile: /token}' })
  t.match(await fixture.bare([]), {
    code: 2,
    stderr: /needs --kubernetes-host URL or --kubeconfig FILE/,
  })
  t.match(await fixture.bare(['--kubernetes-host', 'https://x']), {
    code: 2,
    stderr: /needs --kubernetes-ca FILE/,
  })
  fixture.configure({ auth: '{method: jwt, namespace: other, role: x, tokenFile: /token}' })
  t.match(await fixture.setup(), {
    code: 2,
    stderr: /vault\.auth\.namespace differs from vault\.namespace/,
  })
  t.strictSame(fixture.bao.auditRequests({ since }), [])
})

void test('the built program contains the policy', async (t) => {
  buildProgram()
  const fixture = await SetupFixture.start(t)
  const args = [
    'setup',
    '--config',
    join(fixture.folder, 'config.yaml'),
    '--dry-run',
    '--output',
    'commands',
  ]
  const keys = ['--service-account-key', fixture.keyFile, '--issuer', fixture.issuer.issuer]
  const outcome = await run([...args, ...keys], { env: { VAULT_TOKEN: fixture.bao.rootToken } })
  t.match(outcome, {
    code: 0,
    stderr: '',
    stdout: /path "transit\/encrypt\/k8s-etcd" \{\n {2}capabilities = \["update"\]/,
  })
})

// Namespaces are in OpenBao and in Vault Enterprise.
if (!usesVault()) {
  void test('in a namespace everything is created there, except what belongs to the whole Vault', async (t) => {
    const fixture = await SetupFixture.start(t)
    await fixture.bao.api('POST', 'sys/namespaces/team', {})
    fixture.write(
      'config.yaml',
      `vault: {address: "${fixture.bao.address}", namespace: team, auth: {method: jwt, role: kms, tokenFile: /token}}
transit: {key: etcd}
kms: {clusterId: x}
`,
    )
    const first = await fixture.setup(['--yes'])
    t.equal(first.code, 0, first.stderr)
    t.match(first.stdout, /note: the audited header applies to the whole Vault/)
    const inside = { namespace: 'team' }
    t.equal((await fixture.bao.request('GET', 'transit/keys/etcd', undefined, inside)).status, 200)
    t.match(await fixture.setup(['--yes']), { code: 0, stdout: /nothing to change\n$/ })
    t.match(await fixture.setup(['--dry-run', '--output', 'commands']), {
      stdout: /export BAO_NAMESPACE=team/,
    })
  })
}

void test('what Vault returns cannot add a line to a plan or to the commands', async (t) => {
  const fixture = await SetupFixture.start(t)
  await fixture.bao.api('PUT', 'sys/policies/acl/transit-bridge-kms', {
    policy: 'path "x\\nrm -rf /" { capabilities = ["read"] }',
  })
  const { stdout } = await fixture.setup(['--dry-run', '--output', 'commands'])
  t.notMatch(stdout, /^rm/m)
  t.match(stdout, /^# stop: policy transit-bridge-kms also has other paths \(x rm -rf \/\)/m)
})
