import { test } from 'tap'
import { KEY, ROLE } from '../../real/vault/kms-vault.ts'
import { usesVault } from '../../real/vault/openbao.ts'
import type { Plugin } from '../../real/program/plugin.ts'
import {
  deleteKey,
  enableTransit,
  makeKey,
  renderPolicy,
  rotateKey,
} from '../../real/vault/transit-setup.ts'
import { linesSaying, newSeed, outcomeOf, Fixture, type Settings } from '../fixture.ts'
import { eventually } from '../../real/host/eventually.ts'

const fixture = await Fixture.open()
const { bao, vault } = fixture
/** With a long grace, to show that a refusal is reported without it. */
const KMS = { refreshInterval: '1s', outageGrace: '30m' }
const whole = await renderPolicy('kms.hcl')
const plugin = await fixture.startHealthy({ kms: { ...KMS, clusterId: 'refused' } })
const kept = await plugin.client.encrypt(newSeed())

/** The policy without one of its paths. */
function without(operation: 'encrypt' | 'decrypt' | 'keys'): string {
  return whole.replace(new RegExp(`path "transit/${operation}/[^}]*}`), '')
}

/** A token this young that is denied is not taken for stale (src/vault/session/session.ts). */
async function untilTokenIsOld(of: Plugin): Promise<void> {
  await eventually('an older token', () => {
    const logins = linesSaying(of, 'logged in to Vault')
    return Date.now() - Date.parse(String(logins.at(-1)?.['time'])) > 5_500
  })
}

type Refusal = {
  name: string
  begin: () => Promise<void>
  end: () => Promise<void>
  told: RegExp
  /** What is denied; the rest works. Default: both. */
  denied?: { encrypt?: boolean; decrypt?: boolean }
  code?: string
  /** HashiCorp Vault does not have it. */
  onlyOpenBao?: boolean
}

const refusals: Refusal[] = [
  {
    name: 'the policy is gone',
    begin: () => remove(`sys/policies/acl/transit-bridge-kms`),
    end: () => vault.writePolicy(),
    told: /Vault at .* denies .*permission denied/,
  },
  {
    name: 'the policy lacks encrypt',
    begin: () => vault.writePolicy(without('encrypt')),
    end: () => vault.writePolicy(),
    told: /denies encrypt/,
    denied: { encrypt: true },
  },
  {
    name: 'the policy lacks decrypt',
    begin: () => vault.writePolicy(without('decrypt')),
    end: () => vault.writePolicy(),
    told: /denies decrypt/,
    denied: { decrypt: true },
  },
  {
    name: 'the policy lacks the read of the key',
    begin: () => vault.writePolicy(without('keys')),
    end: () => vault.writePolicy(),
    told: /denies read key/,
    denied: {},
  },
  {
    name: 'the role is gone, and the token with it',
    begin: async () => {
      await remove(`auth/jwt/role/${ROLE}`)
      await fixture.revokeTokens()
    },
    end: () => vault.enableLogin(),
    told: /jwt login at auth\/jwt with role "transit-bridge-kms" was refused: .*could not be found.*create that role/,
  },
  {
    name: 'the key is soft-deleted',
    onlyOpenBao: true,
    begin: () => remove(`transit/keys/${KEY}/soft-delete`),
    end: async () => void (await bao.api('POST', `transit/keys/${KEY}/soft-delete-restore`, {})),
    told: /soft-deleted/,
    code: 'FAILED_PRECONDITION',
  },
]

for (const {
  name,
  begin,
  end,
  told,
  denied,
  code = 'PERMISSION_DENIED',
  onlyOpenBao,
} of refusals) {
  if (onlyOpenBao === true && usesVault()) continue
  void test(`${name}: healthz reports it at once, and recovers after the fix`, async (t) => {
    const { keyId } = await plugin.client.status()
    await begin()
    const { encrypt = false, decrypt = false } = denied ?? { encrypt: true, decrypt: true }
    const answers = {
      encrypt: await outcomeOf(plugin.client.encrypt(newSeed())),
      decrypt: await outcomeOf(plugin.client.decrypt(kept)),
    }
    t.match(answers.encrypt, { code: encrypt ? code : 'OK' }, 'encrypt')
    t.match(answers.decrypt, { code: decrypt ? code : 'OK' }, 'decrypt')
    await plugin.waitForHealth(told)
    t.equal((await plugin.client.status()).keyId, keyId, 'the last key id')
    t.match(await plugin.admin('/readyz'), { status: 503, text: told })
    await end()
    await plugin.waitForHealth('ok')
    t.match(await outcomeOf(plugin.client.encrypt(newSeed())), { code: 'OK' })
    t.match(await outcomeOf(plugin.client.decrypt(kept)), { code: 'OK' })
  })
}

void test('a revoked token is replaced without an error for callers', async (t) => {
  await untilTokenIsOld(plugin)
  const from = plugin.logLines().length
  const logins = linesSaying(plugin, 'logged in to Vault').length
  await fixture.revokeTokens()
  for (let call = 0; call < 20; call += 1) {
    await plugin.client.encrypt(newSeed())
    t.equal((await plugin.client.status()).healthz, 'ok')
  }
  const lines = plugin.logLines().slice(from)
  t.notOk(lines.some(({ level }) => level === 'error' || level === 'warn'))
  t.equal(linesSaying(plugin, 'logged in to Vault').length, logins + 1)
})

type Wrong = {
  name: string
  settings: Settings
  policy: { mount?: string; key?: string }
  told: RegExp
  fix: () => Promise<void>
}

const wrongs: Wrong[] = [
  {
    name: 'a key name that no policy names',
    settings: { transit: { key: 'unknown' } },
    policy: {},
    told: /denies read key/,
    fix: async () => {
      await makeKey(bao, 'unknown')
      await allow({ key: 'unknown' })
    },
  },
  {
    name: 'a key that is not there',
    settings: { transit: { key: 'missing' } },
    policy: { key: 'missing' },
    told: /no transit key missing at this path .*check transit.mount, transit.key and vault.namespace/,
    fix: () => makeKey(bao, 'missing'),
  },
  {
    name: 'a mount that is not there',
    settings: { transit: { mount: 'nowhere' } },
    policy: { mount: 'nowhere' },
    told: /no handler for route.*check transit.mount, transit.key and vault.namespace/,
    fix: async () => {
      await enableTransit(bao, 'nowhere')
      await makeKey(bao, KEY, { mount: 'nowhere' })
    },
  },
  {
    name: 'a key of type rsa-2048',
    settings: { transit: { key: 'asymmetric' } },
    policy: { key: 'asymmetric' },
    told: /has type rsa-2048, which cannot authenticate annotations; use a key of type aes256-gcm96/,
    fix: () => makeAnother('asymmetric'),
  },
  {
    name: 'a derived key',
    settings: { transit: { key: 'derived' } },
    policy: { key: 'derived' },
    told: /is a derived key, which needs a context for each use/,
    fix: () => makeAnother('derived'),
  },
]

void test('faults in Vault at the start', async (t) => {
  await bao.api('POST', 'transit/keys/asymmetric', { type: 'rsa-2048' })
  await bao.api('POST', 'transit/keys/derived', { derived: true })
  for (const { name, settings, policy, told, fix } of wrongs) {
    await t.test(`${name}: healthz reports it, and recovers after the fix`, async (s) => {
      await allow(policy)
      const wrong = await fixture.start({ ...settings, kms: { ...KMS, clusterId: 'wrong' } })
      await wrong.waitForHealth(told)
      const { code } = await outcomeOf(wrong.client.encrypt(newSeed()))
      s.match(code, /^(FAILED_PRECONDITION|PERMISSION_DENIED)$/)
      await fix()
      await wrong.waitForHealth('ok')
      s.match(await outcomeOf(wrong.client.encrypt(newSeed())), { code: 'OK' })
      await wrong.stop()
    })
  }
})

void test('the other key was never used', async (t) => {
  await vault.writePolicy()
  await rotateKey(bao, KEY)
  await eventually('its rotation', async () => (await plugin.client.status()).keyId !== kept.keyId)
  t.match(await outcomeOf(plugin.client.decrypt(kept)), { code: 'OK' })
})

fixture.end()

/** The policy as it is, and the same for another mount or key. */
async function allow(place: { mount?: string; key?: string }): Promise<void> {
  await vault.writePolicy(`${whole}\n${await renderPolicy('kms.hcl', place)}`)
}

async function makeAnother(name: string): Promise<void> {
  await deleteKey(bao, name)
  await makeKey(bao, name)
}

async function remove(path: string): Promise<void> {
  await bao.api('DELETE', path)
}
