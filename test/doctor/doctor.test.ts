import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, copyFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dirname, join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { test } from 'tap'

import { GOOD } from '../encryption/faulty-configs.ts'
import { usesVault } from '../real/vault/openbao.ts'
import { tempFolder } from '../real/host/temp-folder.ts'
import { DoctorFixture } from './fixture.ts'

/** With a key in the file itself. */
const KEYS = GOOD.replace(
  'identity: {}',
  `aesgcm: {keys: [{name: a, secret: ${Buffer.alloc(32).toString('base64')}}]}`,
)

void test('doctor', async (t) => {
  const fixture = await DoctorFixture.start(t)
  const { vault, plugin } = fixture
  const usual = structuredClone(fixture.config)
  const { flags, folders, encryption } = fixture
  t.beforeEach(() =>
    Object.assign(fixture, { config: structuredClone(usual), flags, folders, encryption }),
  )

  await t.test(
    'on a healthy node nothing fails, and what was not checked must be accepted by name',
    async (t) => {
      const { code, stdout, stderr } = await fixture.print()
      t.strictSame({ code, stderr }, { code: 1, stderr: '' })
      t.match(stdout, /^not checked: key-upsert,audit; .* --accept-unknown key-upsert,audit$/m)
      const half = await fixture.print('--accept-unknown', 'audit')
      t.match(half, { code: 1, stdout: /^not checked: key-upsert; /m })
      const accepted = await fixture.print('--accept-unknown', 'audit,key-upsert')
      t.equal(accepted.code, 0)
      t.notMatch(accepted.stdout, /^not checked/m)
      const json = await fixture.print('--json', '--accept-unknown', 'audit')
      t.match(JSON.parse(json.stdout), { ok: false, unchecked: ['key-upsert'] })
      t.notMatch(stdout, /^fail/m)
      for (const what of [
        'configuration',
        'login file',
        'token',
        'token lifetime',
        'vault reach',
        'vault seal',
        'clock',
        'login',
        'policy',
        'policy limits',
        'key',
        'key export',
        'key deletion',
        'socket rights',
        'plugin',
        'api server',
        'api server mount',
        'encryption',
      ]) {
        t.match(stdout, new RegExp(`^ok {7}${what}: `, 'm'))
      }
      t.match(
        stdout,
        /^unknown {2}key upsert: the plugin is not allowed to read transit\/config\/keys; /m,
      )
      t.match(
        stdout,
        /^unknown {2}audit: the plugin is not allowed to read sys\/audit; run bao audit list/m,
      )
      t.notMatch(stdout, /hv[sb]\.|eyJ/, 'no token is shown')
    },
  )

  await t.test('it changes nothing in Vault but its own login', async (t) => {
    const since = vault.bao.auditMark()
    await fixture.run()
    const asked = vault.bao
      .auditRequests({ since })
      .filter(
        ({ operation, path }) =>
          operation !== 'read' && !/capabilities|login|revoke-self|encrypt|decrypt/.test(path),
      )
    t.strictSame(asked, [])
  })

  await t.test('socket: missing', async (t) => {
    fixture.config.kms['socket'] = join(fixture.folder, 'none.sock')
    t.match(await fixture.find('socket'), /^fail: .*none\.sock does not exist; start the plugin/)
  })

  await t.test('socket: another kind of file', async (t) => {
    fixture.config.kms['socket'] = fixture.write('file.sock', '')
    t.match(await fixture.find('socket'), /^fail: .* is not a socket/)
  })

  await t.test('socket: open to every user', async (t) => {
    chmodSync(plugin.socket, 0o666)
    t.match(await fixture.find('socket rights'), /^fail: .* has mode 0666: every user/)
    chmodSync(plugin.socket, 0o600)
  })

  await t.test('socket: another mode than configured', async (t) => {
    fixture.config.kms['socketMode'] = '0660'
    t.match(await fixture.find('socket rights'), /^fail: .* mode 0600, and kms\.socketMode is 0660/)
  })

  await t.test('socket: no process serves it', async (t) => {
    const server = createServer()
    const socket = join(fixture.folder, 'dead.sock')
    await new Promise<void>((resolve) => void server.listen(socket, resolve))
    chmodSync(socket, 0o600)
    fixture.config.kms['socket'] = socket
    t.match(await fixture.find('plugin'), /^fail: no server answers at .*dead\.sock/)
    server.close()
  })

  await t.test('token file: readable by every user', async (t) => {
    chmodSync(vault.tokenFile, 0o644)
    t.match(await fixture.find('login file'), /^fail: .* has mode 0644, so every user/)
    chmodSync(vault.tokenFile, 0o600)
  })

  await t.test('token file: missing', async (t) => {
    fixture.config.vault = {
      ...fixture.config.vault,
      auth: { method: 'jwt', role: 'x', tokenFile: '/nowhere/token' },
    }
    t.match(await fixture.find('login file'), /^fail: \/nowhere\/token does not exist/)
  })

  await t.test('token: of another audience, of another issuer', async (t) => {
    const auth = { method: 'jwt', role: 'transit-bridge-kms', tokenFile: vault.tokenFile }
    fixture.config.vault = { ...fixture.config.vault, auth: { ...auth, audience: 'other' } }
    t.match(
      await fixture.find('token'),
      /^warn: .*audience "vault", but vault\.auth\.audience is "other".*Vault decides/,
    )
    fixture.config.vault = { ...fixture.config.vault, auth: { ...auth, issuer: 'https://other' } }
    t.match(
      await fixture.find('token'),
      /^warn: .*has issuer .*but vault\.auth\.issuer is "https:\/\/other"/,
    )
  })

  await t.test('token: expired', async (t) => {
    await vault.writeToken({ expiresIn: -3600 })
    t.match(await fixture.find('token'), /^warn: .*expired at/)
    t.match(await fixture.find('token lifetime'), /^fail: expired 60 min ago by the clock/)
    t.match(await fixture.find('login'), /^fail: .*was refused: .*expired at/)
    await vault.writeToken({ expiresIn: 7 * 24 * 3600 })
  })

  await t.test('token lifetime: shorter than the outage that it must survive', async (t) => {
    t.match(
      await fixture.find('token lifetime', '--survive', '30d'),
      /^fail: expires in 6 days; it must last 30d/,
    )
    t.match(await fixture.find('token lifetime', '--survive', '24h'), /^ok: expires in 6 days/)
  })

  await t.test('token age: nothing refreshes it', async (t) => {
    const now = Math.floor(Date.now() / 1000)
    await vault.writeToken({ expiresIn: 600, claims: { iat: now - 6000 } })
    t.match(await fixture.find('token age'), /^warn: issued 100 min ago, 91 % of its lifetime/)
    await vault.writeToken({ expiresIn: 7 * 24 * 3600 })
  })

  await t.test('vault reach: no answer', async (t) => {
    fixture.config.vault = { ...fixture.config.vault, address: 'http://127.0.0.1:1' }
    const accept = ['--accept-unknown', 'login,audit,key-upsert']
    const { findings, code } = await fixture.run(...accept)
    t.equal(code, 1)
    t.match(
      findings.find(({ what }) => what === 'vault reach'),
      { level: 'fail', why: /connection refused/ },
    )
    t.match(
      findings.find(({ what }) => what === 'login'),
      { level: 'unknown' },
    )
    const { stdout } = await fixture.print()
    t.match(stdout, /^not checked: .*login.*; first fix what fails, then run doctor again$/m)
    t.notMatch(stdout, '--accept-unknown')
  })

  await t.test('vault reach: no CA file', async (t) => {
    fixture.config.vault = {
      ...fixture.config.vault,
      address: 'https://127.0.0.1:1',
      caFile: '/nonexistent',
    }
    t.match(
      await fixture.find('vault reach'),
      /^fail: vault\.caFile: \/nonexistent cannot be read \(ENOENT\); write the file, or correct/,
    )
  })

  await t.test('vault reach: one of two addresses', async (t) => {
    fixture.config.vault = {
      ...fixture.config.vault,
      address: ['http://127.0.0.1:1', vault.bao.address],
    }
    t.match(await fixture.find('vault reach'), /^warn: .*connection refused\nok: /)
  })

  await t.test('vault reach: something else answers', async (t) => {
    const server = createServer((_request, response) => response.end('hello'))
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    fixture.config.vault = { ...fixture.config.vault, address }
    t.match(await fixture.find('vault reach'), /^fail: the server at .* is not Vault/)
    server.close()
  })

  await t.test('vault namespace: ignored by a Vault without namespaces', async (t) => {
    fixture.config.vault = { ...fixture.config.vault, namespace: 'team' }
    const { findings } = await fixture.run()
    const found = findings.find(({ what }) => what === 'vault namespace')
    if (usesVault()) t.match(found, { level: 'warn', why: /ignores vault\.namespace \("team"\)/ })
    else t.equal(found, undefined, 'OpenBao has namespaces')
  })

  await t.test('vault seal: sealed', async (t) => {
    await vault.bao.seal()
    t.match(await fixture.find('vault seal'), /^fail: .* is sealed; unseal it/)
    await vault.bao.unseal()
  })

  await t.test('login: refused, with what to change', async (t) => {
    const auth = { method: 'jwt', role: 'misspelt', tokenFile: vault.tokenFile }
    fixture.config.vault = { ...fixture.config.vault, auth }
    t.match(await fixture.find('login'), /^fail: .*misspelt/)
  })

  await t.test('login: the uses of a token are limited', async (t) => {
    const role = 'auth/jwt/role/transit-bridge-kms'
    const { data } = await vault.bao.api('GET', role)
    await vault.bao.api('POST', role, { ...data, token_num_uses: 100 })
    t.match(
      await fixture.find('login'),
      /^ok: the Vault token is valid for \d+ more minutes \(vault\.auth\.method jwt\)/,
    )
    t.match(await fixture.find('token uses'), /^warn: .*only 100 requests .*token_num_uses=0/)
    await vault.bao.api('POST', role, data)
  })

  const policy = (
    encrypt: string,
    more = '',
  ) => `path "transit/encrypt/k8s-etcd" { capabilities = [${encrypt}] }
path "transit/decrypt/k8s-etcd" { capabilities = ["update"] }
path "transit/keys/k8s-etcd" { capabilities = ["read"] }
${more}`

  await t.test('policy: too little', async (t) => {
    await vault.writePolicy(policy('"read"'))
    t.match(
      await fixture.find('policy'),
      /^fail: lacks update on transit\/encrypt\/k8s-etcd; compare/,
    )
    await vault.writePolicy()
  })

  await t.test('policy: create on encrypt', async (t) => {
    await vault.writePolicy(policy('"create", "update"'))
    t.match(
      await fixture.find('policy limits'),
      /^fail: allows too much: create on transit\/encrypt\/k8s-etcd;/,
    )
    await vault.writePolicy()
  })

  await t.test('policy: broad paths', async (t) => {
    await vault.writePolicy(
      policy('"update"', 'path "transit/export/*" { capabilities = ["read"] }'),
    )
    t.match(
      await fixture.find('policy limits'),
      /^fail: .*read on transit\/export\/encryption-key\/k8s-etcd/,
    )
    await vault.writePolicy(
      policy('"update"', 'path "transit/decrypt/*" { capabilities = ["update"] }'),
    )
    t.match(
      await fixture.find('policy limits'),
      /^fail: .*update on transit\/decrypt\/k8s-etcd-transit-bridge-doctor/,
    )
    await vault.writePolicy()
  })

  await t.test('key: missing', async (t) => {
    fixture.config.transit = { key: 'none' }
    await vault.writePolicy(
      policy('"update"', 'path "transit/keys/none" { capabilities = ["read"] }'),
    )
    t.match(
      await fixture.find('key'),
      /^fail: there is no key at transit\/keys\/none; create it with transit-bridge setup/,
    )
    await vault.writePolicy()
  })

  await t.test(
    'key: of a type that cannot be used, exportable, deletable, rotated by Vault',
    async (t) => {
      const keys = (name: string) => `path "transit/keys/${name}" { capabilities = ["read"] }\n`
      await vault.writePolicy(policy('"update"', keys('rsa') + keys('loose')))
      await vault.bao.api('POST', 'transit/keys/rsa', { type: 'rsa-2048' })
      await vault.bao.api('POST', 'transit/keys/loose', {
        exportable: true,
        auto_rotate_period: '720h',
      })
      await vault.bao.api('POST', 'transit/keys/loose/config', { deletion_allowed: true })
      fixture.config.transit = { key: 'rsa' }
      t.match(await fixture.find('key'), /^fail: transit key rsa has type rsa-2048/)
      fixture.config.transit = { key: 'loose' }
      t.match(await fixture.find('key export'), /^warn: exportable: the key can leave Vault/)
      t.match(
        await fixture.find('key deletion'),
        /^fail: is allowed; .* bao write transit\/keys\/loose\/config/,
      )
      t.match(await fixture.find('key rotation'), /^ok: by Vault, every 30 days/)
      await vault.writePolicy()
    },
  )

  await t.test('key upsert and audit, where the policy lets doctor look', async (t) => {
    const more =
      'path "transit/config/keys" { capabilities = ["read"] }\npath "sys/audit" { capabilities = ["read", "sudo"] }'
    await vault.writePolicy(policy('"update"', more))
    t.match(await fixture.find('key upsert'), /^ok: /)
    t.match(await fixture.find('audit'), /^ok: goes to requests\//)
    await vault.bao.api('POST', 'transit/config/keys', { disable_upsert: false })
    t.match(
      await fixture.find('key upsert'),
      /^fail: .* bao write transit\/config\/keys disable_upsert=true/,
    )
    await vault.bao.api('POST', 'transit/config/keys', { disable_upsert: true })
    await vault.writePolicy()
  })

  await t.test('api server: no manifest, or another file', async (t) => {
    t.match(
      await fixture.find('api server', '--manifest', '/nowhere.yaml'),
      /^unknown: \/nowhere\.yaml does not exist; pass it/,
    )
    const other = fixture.write('other.yaml', 'kind: Pod')
    t.match(
      await fixture.find('api server', '--manifest', other),
      /^unknown: .* is not a static pod/,
    )
  })

  await t.test('api server: no encryption at all', async (t) => {
    fixture.flags = '--secure-port=6443'
    t.match(
      await fixture.find('api server'),
      /^fail: .* has no --encryption-provider-config: nothing is encrypted/,
    )
  })

  await t.test('api server: does not reload', async (t) => {
    fixture.flags = flags.split(', ')[0] ?? ''
    t.match(
      await fixture.find('api server reload'),
      /^warn: .*add --encryption-provider-config-automatic-reload=true/,
    )
  })

  await t.test('api server: does not see the socket, or the file', async (t) => {
    fixture.folders = folders.slice(0, 1)
    t.match(
      await fixture.find('api server mount'),
      /^fail: its pod does not see .*; add a hostPath volume/,
    )
    fixture.folders = folders.slice(1)
    t.match(await fixture.find('encryption'), /^fail: its pod does not see .*encryption\.yaml/)
  })

  await t.test('encryption: faults of the file, with their lines', async (t) => {
    fixture.encryption = encryption.replace('timeout: 3s', 'cachesize: 5')
    t.match(
      await fixture.find('encryption'),
      /^fail: .*encryption\.yaml:11: .*cachesize: is not supported in v2; remove it/m,
    )
    fixture.encryption = GOOD
    t.match(await fixture.find('encryption'), /^fail: .*no provider uses the socket of the plugin/m)
  })

  await t.test('encryption: keys in JSON that every user can read', async (t) => {
    const secret = Buffer.alloc(32, 'A').toString('base64')
    const providers = [{ aescbc: { keys: [{ name: 'key1', secret }] } }, { identity: {} }]
    const document = {
      kind: 'EncryptionConfiguration',
      apiVersion: 'apiserver.config.k8s.io/v1',
      resources: [{ resources: ['secrets'], providers }],
    }
    const file = fixture.write('k3s.json', JSON.stringify(document), 0o644)
    t.match(
      await fixture.find('encryption', '--encryption-config', file),
      /^fail: .* holds keys and has mode 0644/m,
    )
  })

  await t.test('encryption: mounted as a single file', async (t) => {
    fixture.folders = [...folders.slice(1), join(fixture.folder, 'encryption.yaml')]
    t.match(await fixture.find('api server mount'), /^fail: .* is mounted as a single file/m)
  })

  await t.test('rights: others can replace the files', async (t) => {
    chmodSync(fixture.folder, 0o777)
    t.match(await fixture.find('configuration'), /^fail: .* has mode 0777, so other users can/m)
    t.match(await fixture.find('encryption'), /^fail: .* has mode 0777, so other users can/m)
    chmodSync(fixture.folder, 0o700)
    const socketFolder = dirname(plugin.socket)
    chmodSync(socketFolder, 0o777)
    t.match(await fixture.find('socket rights'), /^fail: .* has mode 0777, so other users can/m)
    chmodSync(socketFolder, 0o700)
  })

  await t.test('rights: a sticky folder of the socket, and a file of another group', async (t) => {
    const socketFolder = dirname(plugin.socket)
    chmodSync(socketFolder, 0o1777)
    t.match(await fixture.find('socket rights'), /^fail: .* has mode 0777, so other users can/m)
    chmodSync(socketFolder, 0o700)
    const file = fixture.write('keys.yaml', KEYS, 0o640)
    chownSync(file, 0, 1234)
    const found = await fixture.find('encryption', '--encryption-config', file)
    t.match(found, /^fail: .*holds keys and has mode 0640 for group id 1234/m)
    chownSync(file, 1234, 0)
    const owned = await fixture.find('encryption', '--encryption-config', file)
    t.match(owned, /^fail: .*keys\.yaml belongs to user id 1234/m)
  })

  await t.test(
    'encryption: a file that cannot be read is not ok, and is not waited for',
    async (t) => {
      const pipe = join(fixture.folder, 'pipe')
      execFileSync('mkfifo', [pipe])
      const read = (path: string) => fixture.find('encryption', '--encryption-config', path)
      t.match(await read(pipe), /^unknown: .*pipe is not a regular file/)
      t.match(await read('/proc/self/mem'), /^unknown: .*mem cannot be read \(EIO\)/)
      t.match(await read(fixture.folder), /^unknown: .* is not a regular file/)
      const packed = fixture.write('packed.yaml.gz', '')
      writeFileSync(packed, gzipSync(encryption))
      t.match(await read(packed), /^fail: .*packed\.yaml\.gz/)
      rmSync(pipe)
    },
  )

  await t.test('encryption: a link out of the mounted folder', async (t) => {
    const outside = join(tempFolder('outside'), 'encryption.yaml')
    writeFileSync(outside, encryption)
    const link = join(fixture.folder, 'link.yaml')
    symlinkSync(outside, link)
    fixture.flags = `"--encryption-provider-config=${link}"`
    t.match(await fixture.find('encryption'), /^fail: .*link\.yaml leads to .* symbolic link/m)
    fixture.folders = [...folders, dirname(outside)]
    t.match(await fixture.find('encryption'), /^ok: .*is valid and contains the plugin$/m)
    rmSync(link)
  })

  await t.test('api server: a second manifest in the folder', async (t) => {
    await fixture.run()
    const copy = join(fixture.folder, 'kube-apiserver.yaml.bak')
    copyFileSync(join(fixture.folder, 'kube-apiserver.yaml'), copy)
    t.match(
      await fixture.find('api server'),
      /^fail: .*\.bak is a static pod of kube-apiserver, too, and the kubelet may run it/m,
    )
    rmSync(copy)
  })

  await t.test('encryption: keys in JSON, as k3s writes it', async (t) => {
    const key = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='
    const kms = { apiVersion: 'v2', name: 'a', endpoint: `unix://${plugin.socket}` }
    const providers = [{ kms }, { aescbc: { keys: [{ name: 'a', secret: key }] } }]
    const config = {
      kind: 'EncryptionConfiguration',
      apiVersion: 'apiserver.config.k8s.io/v1',
      resources: [{ resources: ['secrets'], providers }],
    }
    const text = JSON.stringify(config).replace('"secret":', '"secre\\u0074" :')
    const file = fixture.write('keys.json', text, 0o666)
    const found = await fixture.find('encryption', '--encryption-config', file)
    t.match(found, /^fail: .*keys\.json holds keys and has mode 0666; chmod 0600/m)
    t.match(found, /^fail: .*keys\.json has mode 0666, so other users can replace/m)
    t.notMatch(found, key)
  })

  await t.test('encryption: keys in a file that every user can read', async (t) => {
    const key = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='
    const text = encryption.replace('identity: {}', `aesgcm: {keys: [{name: a, secret: ${key}}]}`)
    const file = fixture.write('keys.yaml', text, 0o644)
    t.match(
      await fixture.find('encryption', '--encryption-config', file),
      /^fail: .* holds keys and has mode 0644/m,
    )
    rmSync(file)
    t.match(
      await fixture.find('encryption', '--encryption-config', file),
      /^fail: .* does not exist/,
    )
  })

  await t.test('drift: the nodes announce the same key, or not', async (t) => {
    const peer = `127.0.0.1:${plugin.adminPort}`
    let reason = 'ok'
    let keyId: string | undefined = 'tb1-other'
    const other = createServer((_request, response) => {
      response.end(
        JSON.stringify({
          ready: true,
          reason,
          message: 'ok',
          details: { keyId, keyVersion: 9 },
        }),
      )
    })
    await new Promise<void>((resolve) => void other.listen(0, '127.0.0.1', resolve))
    const stranger = `127.0.0.1:${(other.address() as AddressInfo).port}`
    const alias = `localhost:${plugin.adminPort}`
    const silent = '127.0.0.1:1'
    t.match(await fixture.find('drift', '--peers', `${peer},${alias}`), /^ok: the nodes agree/)
    t.match(
      await fixture.find('drift', '--peers', `${peer},${alias},${silent}`),
      /^ok: the 2 nodes that announce one agree on the key/,
    )
    t.equal(
      await fixture.find('drift', '--peers', `${peer},${silent}`),
      '',
      'one node cannot agree or disagree',
    )
    t.match(
      await fixture.find('drift', '--peers', `${peer},${stranger}`),
      /^fail: the nodes announce different keys/,
    )
    fixture.config.admin = { listen: peer }
    t.match(
      await fixture.find('drift', '--peers', stranger),
      /^fail: .*different keys/,
      'this node is one of them',
    )
    fixture.config.admin = { listen: 'none' }
    reason = 'VAULT_SEALED'
    t.match(
      await fixture.find('node', '--peers', stranger),
      /^fail: .* announces key version 9, but does not reach Vault \(VAULT_SEALED\); run doctor there/,
      'in the grace of an outage, or with local keys',
    )
    t.match(
      await fixture.find('node', '--peers', silent),
      /^unknown: the plugin at http:\/\/127\.0\.0\.1:1 /,
    )
    reason = 'ok'
    keyId = undefined
    t.match(
      await fixture.find('node', '--peers', stranger),
      /^fail: .* announces no key; pass the admin\.listen of transit-bridge kms/,
      'the CSI provider and the installer are ready, too',
    )
    other.close()
  })

  await t.test('wrong usage and a wrong configuration end with 2', async (t) => {
    t.match(await fixture.print('--survive', 'long'), {
      code: 2,
      stderr: /--survive must be a duration/,
    })
    fixture.config.kms['clusterID'] = 'x'
    t.match(await fixture.print(), { code: 2, stderr: /clusterID/ })
  })
})
