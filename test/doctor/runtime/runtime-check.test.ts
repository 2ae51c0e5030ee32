import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, end, test } from 'tap'

import type { Finding } from '../../../src/doctor/finding.ts'
import { Registration } from '../../../src/gen/kubelet/pluginregistration/registration_pb.ts'
import { newPod, PodVault, ROLE } from '../../csi/pod-vault.ts'
import { RUNTIME_POLICY, startRuntime } from '../../csi/runtime/fixture.ts'
import { tempFolder } from '../../real/host/temp-folder.ts'
import { GrpcClient } from '../../real/program/grpc-client.ts'
import { writePolicy } from '../../real/vault/transit-setup.ts'
import { runHere } from '../../setup/fixture.ts'

const vault = await PodVault.start()
after(() => vault.stop())
await vault.enableRole(ROLE, RUNTIME_POLICY)

const RULE = {
  namespaces: ['shop'],
  serviceAccounts: ['web'],
  roles: [ROLE],
  keys: ['app-signing'],
  operations: ['sign', 'verify', 'random', 'keyInfo'],
}

/** A folder in memory, as /run is. */
function memoryFolder(): string {
  const folder = mkdtempSync('/dev/shm/tb-')
  after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** A node without a KMS plugin: the running driver and its configuration. */
async function startNode(stateFolder = join(memoryFolder(), 's')) {
  const runtime = await startRuntime(vault, { runtimeConfig: { stateFolder } })
  const folder = tempFolder('doctor')
  chmodSync(folder, 0o755)
  const podToken = join(folder, 'token')
  const { vault: issued } = JSON.parse(await vault.tokens(newPod())) as Tokens
  writeFileSync(podToken, issued.token, { mode: 0o600 })
  const section = {
    enabled: true,
    socket: join(runtime.folder, 'csi.sock'),
    registrationSocket: runtime.registrationSocket,
    stateFolder,
  }
  return { runtime, folder, podToken, section, stateFolder }
}

interface Tokens {
  readonly vault: { readonly token: string }
}

type Node = Awaited<ReturnType<typeof startNode>>

interface Change {
  readonly rules?: readonly object[]
  readonly runtime?: object
  readonly audience?: string
  readonly address?: string
  readonly podToken?: string | null
}

async function runDoctor(node: Node, change: Change = {}, ...args: readonly string[]) {
  const { rules = [RULE], runtime = {}, audience = 'vault', podToken = node.podToken } = change
  const file = join(node.folder, 'config.yaml')
  const config = {
    vault: { address: change.address ?? vault.bao.address },
    csi: { audience, rules, runtime: { ...node.section, ...runtime } },
    admin: { listen: 'none' },
  }
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 })
  const token = podToken === null ? [] : ['--pod-token', podToken]
  const { code, stdout } = await runHere(['doctor', '--config', file, '--json', ...token, ...args])
  return { code, ...(JSON.parse(stdout) as { findings: readonly Finding[]; unchecked: string[] }) }
}

/** The findings about something, as lines. */
async function find(node: Node, what: string, change: Change = {}): Promise<string> {
  const { findings } = await runDoctor(node, change)
  return findings
    .filter((finding) => finding.what === what)
    .map(({ level, why, fix }) => `${level}: ${why}${fix === undefined ? '' : `; ${fix}`}`)
    .join('\n')
}

async function register(node: Node, pluginRegistered: boolean): Promise<void> {
  const client = new GrpcClient(node.runtime.registrationSocket, 5_000)
  const status = { pluginRegistered, error: pluginRegistered ? '' : 'refused' }
  await client.call(Registration.method.notifyRegistrationStatus, status)
  client.close()
}

void test('doctor on a node with the driver of csi.runtime and without a KMS plugin', async (t) => {
  const node = await startNode()
  t.teardown(() => node.runtime.stop())

  await t.test('the kubelet has not registered the driver yet, or refused it', async (t) => {
    t.match(
      await find(node, 'runtime registration'),
      /^fail: the kubelet has not called .*reg\.sock/,
    )
    await register(node, false)
    t.match(await find(node, 'runtime registration'), /^fail: the kubelet refused/)
    await register(node, true)
    t.match(await find(node, 'runtime registration'), /^ok: the kubelet registered/)
  })

  await t.test(
    'without a volume, the audience is unknown, and with one it is proved',
    async (t) => {
      const before = await runDoctor(node)
      t.match(before, { code: 1, unchecked: ['runtime-audience'] })
      t.match(
        await find(node, 'runtime audience'),
        /^unknown: no pod .*; check .* lists audience vault: kubectl get csidriver/,
      )
      await node.runtime.kubelet.publish(newPod())
      const { code, unchecked, findings } = await runDoctor(node)
      t.same({ code, unchecked }, { code: 0, unchecked: [] })
      const levels = Object.fromEntries(findings.map(({ what, level }) => [what, level]))
      t.match(levels, {
        'runtime driver': 'ok',
        'runtime registration': 'ok',
        'runtime state': 'ok',
        'runtime rules': 'ok',
        'runtime audience': 'ok',
        'runtime policy': 'ok',
        'runtime policy limits': 'ok',
        'vault reach': 'ok',
      })
      t.match(
        await find(node, 'runtime audience', { audience: 'other' }),
        /^fail: a pod has a token with audience "vault", and csi\.audience is "other"/,
      )
    },
  )

  await t.test('it changes nothing in Vault but its own login', async (t) => {
    const since = vault.bao.auditMark()
    await runDoctor(node)
    const paths = vault.bao.auditRequests({ since }).map(({ path }) => path)
    t.ok(paths.includes('auth/jwt/login'))
    t.same(
      paths.filter((path) => !/^sys\/(?:capabilities-self|health)|login$|revoke-self$/.test(path)),
      [],
    )
  })

  await t.test('without a token of a pod, the policy is unknown', async (t) => {
    const { code, unchecked } = await runDoctor(node, { podToken: null })
    t.same({ code, unchecked }, { code: 1, unchecked: ['runtime-policy'] })
    const accepted = await runDoctor(node, { podToken: null }, '--accept-unknown', 'runtime-policy')
    t.equal(accepted.code, 0)
  })

  await t.test('policy: a login that fails, and a token that no rule is for', async (t) => {
    const policy = (change: Change) => find(node, 'runtime policy', change)
    t.match(
      await policy({ rules: [{ ...RULE, roles: ['nobody'] }] }),
      /^fail: role nobody: .*login/,
    )
    t.match(
      await policy({ rules: [{ ...RULE, namespaces: ['bank'] }] }),
      /^fail: no rule in csi\.rules with operations matches "system:serviceaccount:shop:web"/,
    )
    t.match(
      await policy({ podToken: '/nowhere' }),
      /^fail: --pod-token: \/nowhere does not exist yet; write it with kubectl create token .* --audience vault$/,
    )
  })

  await t.test('policy: lacks what the rule allows, or a path that some clients use', async (t) => {
    await vault.enableRole('poor', `path "transit/sign/app-signing" { capabilities = ["update"] }`)
    const found = await find(node, 'runtime policy', { rules: [{ ...RULE, roles: ['poor'] }] })
    t.match(
      found,
      /^fail: role poor lacks update on transit\/verify\/app-signing, .*; compare with vault-policies\/socket\.hcl$/m,
    )
    t.match(found, /read on transit\/keys\/app-signing/)
    t.match(
      found,
      /^warn: role poor lacks paths that some clients use: update on transit\/sign\/app-signing\/sha2-256/m,
    )
  })

  await t.test('policy: a pattern of keys is proved by an equal pattern only', async (t) => {
    const rules = [{ ...RULE, roles: ['narrow'], keys: ['app-*'], operations: ['decrypt'] }]
    await vault.enableRole('narrow', `path "transit/decrypt/app-*" { capabilities = ["update"] }`)
    t.match(await find(node, 'runtime policy', { rules }), /^ok: role narrow allows/)
    await writePolicy(
      vault.bao,
      'narrow',
      `path "transit/decrypt/app-one" { capabilities = ["update"] }`,
    )
    t.match(
      await find(node, 'runtime policy', { rules }),
      /^unknown: the rule allows keys by a pattern/,
    )
    t.match(
      await find(node, 'runtime policy', { rules: [{ ...RULE, roles: ['*'] }] }),
      /^unknown: a rule allows all roles that match "\*"/,
    )
  })

  await t.test('policy: too much', async (t) => {
    await vault.enableRole(
      'rich',
      `path "transit/*" { capabilities = ["create", "read", "update"] }`,
    )
    const rules = [{ ...RULE, roles: ['rich'], operations: ['encrypt'] }]
    t.match(
      await find(node, 'runtime policy limits', { rules }),
      /^fail: role rich allows too much: create and read on transit\/encrypt\/app-signing, .*backup/,
    )
  })

  await t.test('policy: a role without the policy "default" cannot be looked at', async (t) => {
    await vault.enableRole('bare', RUNTIME_POLICY)
    await vault.bao.api('POST', 'auth/jwt/role/bare', {
      ...(await vault.bao.api('GET', 'auth/jwt/role/bare')).data,
      token_no_default_policy: true,
    })
    t.match(
      await find(node, 'runtime policy', { rules: [{ ...RULE, roles: ['bare'] }] }),
      /^unknown: role bare: .*denies.*; this check needs the policy "default" on the role$/,
    )
  })

  await t.test('no rule has operations', async (t) => {
    const rules = [{ ...RULE, operations: undefined, types: ['publicKey'] }]
    t.match(
      await find(node, 'runtime rules', { rules }),
      /^fail: no rule in csi\.rules has operations/,
    )
  })

  await t.test('the driver: another name, another folder, no process', async (t) => {
    t.match(
      await find(node, 'runtime driver', { runtime: { driverName: 'other.example.com' } }),
      /^fail: .*csi\.sock is served by "transit\.transit-bridge\.io", and csi\.runtime\.driverName is "other\.example\.com"/,
    )
    t.match(
      await find(node, 'runtime driver', { runtime: { socket: join(node.folder, 'none.sock') } }),
      /^fail: no server answers at .*none\.sock \(ENOENT\)/,
    )
    t.match(
      await find(node, 'runtime registration', {
        runtime: { registrationSocket: join(node.folder, 'none.sock') },
      }),
      /^fail: no server answers at .*none\.sock \(ENOENT\)/,
    )
  })

  await t.test('folders that other users can write', async (t) => {
    const open = join(node.folder, 'open')
    mkdirSync(open)
    chmodSync(open, 0o777)
    t.match(
      await find(node, 'runtime state', { runtime: { stateFolder: open } }),
      /^fail: .*open has mode 0777, so other users can replace/,
    )
    const runtime = { stateFolder: join(node.folder, 'none') }
    t.match(
      await find(node, 'runtime state', { runtime }),
      /^fail: .*none cannot be used \(ENOENT\)/,
    )
    t.match(
      await find(node, 'runtime audience', { runtime }),
      /^unknown: .*cannot be read \(ENOENT\)/,
    )
    chmodSync(node.runtime.folder, 0o777)
    t.match(
      await find(node, 'runtime socket'),
      /^fail: .* has mode 0777, so other users can replace .*csi\.sock/,
    )
    chmodSync(node.runtime.folder, 0o700)
  })

  await t.test('a Vault that does not answer', async (t) => {
    t.match(
      await find(node, 'runtime policy', { address: 'http://127.0.0.1:9' }),
      /^unknown: Vault accepts no logins now/,
    )
  })
})

void test('a state folder on a disk is a warning, and shows nothing about the audience', async (t) => {
  const node = await startNode(join(tempFolder('rt'), 's'))
  t.teardown(() => node.runtime.stop())
  await node.runtime.kubelet.publish(newPod())
  t.match(await find(node, 'runtime state'), /^warn: .* is on a disk, so no tokens are stored/)
  t.match(await find(node, 'runtime audience'), /^unknown: no pod on this node/)
})

void test('the configuration needs kms or csi.runtime, and --pod-token needs csi.runtime', async (t) => {
  const file = join(tempFolder('doctor'), 'config.yaml')
  const vaultAlone = { address: 'http://127.0.0.1:9' }
  const refused = async (config: object, ...args: readonly string[]) => {
    writeFileSync(file, JSON.stringify(config))
    const { code, stderr } = await runHere(['doctor', '--config', file, ...args])
    t.equal(code, 2)
    return stderr
  }
  const provider = { vault: vaultAlone, csi: { audience: 'vault' } }
  t.match(await refused(provider), /neither the section kms nor csi\.runtime\.enabled: true/)
  const plugin = {
    vault: { ...vaultAlone, auth: { method: 'token', tokenFile: '/nowhere' } },
    transit: { key: 'k8s' },
    kms: { clusterId: 'one' },
  }
  for (const config of [provider, plugin])
    t.match(
      await refused(config, '--pod-token', '/nowhere'),
      /doctor: --pod-token needs csi\.runtime\.enabled: true/,
    )
})

// Explicit, because the open sockets keep tap waiting for more tests.
end()
