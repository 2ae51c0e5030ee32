// A release of the chart in a real cluster, and Vault prepared with the commands that the release prints.
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { test } from 'tap'
import { stringify } from 'yaml'
import { buildProgram, PROGRAM } from '../../commands/program.ts'
import { CHART, helm } from '../../real/cluster/helm.ts'
import { obtain } from '../../real/host/parts.ts'
import { CertificateAuthority } from '../../real/host/pki.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { OpenBao } from '../../real/vault/openbao.ts'
import { startApiServer, startEtcd } from '../cluster.ts'
import { kubeconfigOf } from '../kube-config.ts'

const NAMESPACE = 'kube-keys'
const RELEASE = 'prod'
const ACCOUNT = 'prod-transit-bridge-kms'

/** The indented lines of the notes that prepare Vault. */
function setupCommands(notes: string): readonly string[] {
  const lines = notes.split('\n').map((line) => line.trim())
  return lines.filter((line) => /^(helm get manifest|transit-bridge setup) /.test(line))
}

void test('the commands in the notes let the service account of the release log in', async (t) => {
  buildProgram()
  const authority = await CertificateAuthority.create('CA of Vault')
  const tls = { ...(await authority.server('vault')), caFile: authority.caFile }
  const [bao, api] = await Promise.all([
    OpenBao.start({ tls }),
    startEtcd(t).then((etcd) => startApiServer(t, { etcd })),
  ])
  t.teardown(() => bao.stop())
  const home = tempFolder('home')
  mkdirSync(join(home, '.kube'))
  writeFileSync(join(home, '.kube/config'), readFileSync(kubeconfigOf(api)))
  const environment = {
    HOME: home,
    VAULT_TOKEN: bao.rootToken,
    PATH: [dirname(PROGRAM), dirname(await obtain('helm')), process.env['PATH']].join(':'),
  }
  const values = join(home, 'values.yaml')
  const rule = { namespaces: ['shop'], serviceAccounts: ['*'], roles: ['web'], keys: ['app-*'] }
  writeFileSync(
    values,
    stringify({
      vault: { address: bao.address, caBundle: readFileSync(authority.caFile, 'utf8') },
      transit: { mount: 'keys', key: 'etcd' },
      kms: { clusterId: 'prod', token: { audience: 'kms-of-prod' } },
      csi: {
        enabled: true,
        audience: 'pods',
        mount: 'apps',
        auth: { mount: 'pods' },
        runtime: { enabled: true },
        rules: [{ ...rule, types: ['publicKey'], operations: ['sign'] }],
      },
    }),
  )
  const place = [`--namespace=${NAMESPACE}`, '--create-namespace']
  // The values of a release from before many of today's existed, which --reuse-values keeps.
  const released = join(home, 'transit-bridge')
  cpSync(CHART, released, { recursive: true })
  cpSync(join(import.meta.dirname, 'released-values.yaml'), join(released, 'values.yaml'))
  const args = ['install', RELEASE, released, ...place, `--values=${values}`]
  const installed = await helm(args, environment)
  t.equal(installed.code, 0, installed.stderr)
  const commands = setupCommands(installed.stdout)
  t.equal(commands.length, 2, installed.stdout)
  t.notMatch(installed.stderr, /Warning/, 'the API server has no objection')
  const script = `set -eu; cd ~; ${commands.join('\n')} --yes`
  const { stdout } = await promisify(execFile)('sh', ['-c', script], { env: environment })
  t.match(stdout, /done: Vault is ready/)

  const login = async (name: string, audience: string) => {
    const jwt = await api.serviceAccountToken(NAMESPACE, name, { audience })
    const role = 'transit-bridge-kms'
    const { status, body } = await bao.request('POST', 'auth/jwt/login', { role, jwt })
    return status === 200 ? body.auth.client_token : status
  }
  const token = await login(ACCOUNT, 'kms-of-prod')
  t.type(token, 'string', 'the account of the release can log in')
  t.equal(await login(ACCOUNT, 'vault'), 400, 'with its audience alone')
  t.equal(await login('default', 'kms-of-prod'), 400, 'and no other account')
  const encrypt = { plaintext: Buffer.from('seed').toString('base64') }
  t.match(await bao.request('POST', 'keys/encrypt/etcd', encrypt, { token }), { status: 200 })

  const { data } = await bao.api('GET', 'auth/pods/config')
  t.equal(data.bound_issuer, api.issuer, 'pods can log in as soon as they have a role')
  t.ok((await bao.api('GET', 'sys/mounts')).data['apps/'])

  const change = ['--set=vault.caBundle=,vault.caSecret.name=vault-ca,kms.extraArgs={--help}']
  const upgrade = ['upgrade', RELEASE, CHART, '--reuse-values', ...change, place[0] ?? '']
  const upgraded = await helm(upgrade, environment)
  t.equal(upgraded.code, 0, upgraded.stderr)
  t.match(setupCommands(upgraded.stdout)[1], / --vault-ca FILE$/)
  const map = await api.api('GET', `/api/v1/namespaces/${NAMESPACE}/configmaps/${ACCOUNT}`)
  t.match(map.data['pod.yaml'], /args:\n +- --help/, 'the plugin gets the new value')

  const removed = await helm(['uninstall', RELEASE, `--namespace=${NAMESPACE}`], environment)
  t.equal(removed.code, 0, removed.stderr)
  const accounts = await api.api('GET', `/api/v1/namespaces/${NAMESPACE}/serviceaccounts`)
  t.notOk(
    accounts.items.some((item: { metadata: { name: string } }) => item.metadata.name === ACCOUNT),
  )
})
