import { renameSync, writeFileSync } from 'node:fs'
import { ROLE as POD_ROLE } from '../../csi/pod-vault.ts'
import { eventually } from '../../real/host/eventually.ts'
import { ROLE } from '../../real/vault/kms-vault.ts'
import type { OpenBao } from '../../real/vault/openbao.ts'
import { revokeTokens } from '../../real/vault/revoke-tokens.ts'
import { renderPolicy, rotateKey, writePolicy } from '../../real/vault/transit-setup.ts'
import { MEMBER_NAMES, PLUGIN_NAMES, type Member, type MemberName } from '../members/member.ts'
import { persist } from './persistence.ts'
import { PluginMember } from '../members/plugin-member.ts'
import { raiseMinDecryption } from './raise.ts'
import { faultOfMembers, faultOfVault, type SoakFault } from './soak-fault.ts'
import { DATA_KEY, SIGNING_KEY } from '../load/volume-class.ts'
import { enablePods, KMS_TOKEN_TTL, type World } from '../members/world.ts'

const NO_RIGHTS = 'path "sys/none" { capabilities = ["read"] }'
/** Generous: a plugin reads its key every second (kms.refreshInterval). */
const SEEN_WITHIN = { timeoutMs: 60_000, intervalMs: 100 }
const OF_PODS: readonly MemberName[] = ['CSI']

const ROTATIONS: readonly SoakFault[] = [
  faultOfVault({
    name: 'a rotation of the key of the cluster',
    weight: 4,
    members: PLUGIN_NAMES,
    uses: ['vault: key'],
    effect: 'none',
    begin: ({ versions }) => versions.rotate(),
    end: (world) => waitForAnnouncement(world),
  }),
  faultOfVault({
    name: 'a raise of min_decryption_version',
    weight: 3,
    members: PLUGIN_NAMES,
    uses: ['vault: key'],
    effect: 'none',
    begin: (world) => raiseMinDecryption(world),
  }),
  faultOfVault({
    name: 'a rotation of the keys of pods',
    members: OF_PODS,
    effect: 'none',
    begin: async ({ pods }) => {
      for (const key of [SIGNING_KEY, DATA_KEY]) await persist(() => rotateKey(pods.bao, key))
    },
  }),
]

const TOKENS: readonly SoakFault[] = [
  faultOfVault({
    name: 'all Vault tokens of the login method are revoked',
    members: MEMBER_NAMES,
    uses: ['vault: tokens'],
    effect: 'none',
    begin: ({ pods }) => revokeAll(pods.bao),
  }),
  faultOfVault({
    name: 'Vault tokens are revoked one by one',
    members: MEMBER_NAMES,
    uses: ['vault: tokens'],
    effect: 'none',
    begin: ({ pods }) => persist(() => revokeTokens(pods.bao)),
  }),
  faultOfMembers({
    name: 'the token file is replaced',
    members: PLUGIN_NAMES,
    uses: ['token file'],
    effect: 'none',
    begin: (member, world) => writeToken(member, world),
  }),
  faultOfMembers({
    name: 'the token file has an expired token, and the Vault tokens are revoked',
    members: ['sealed file'],
    uses: ['token file', 'vault: tokens'],
    effect: 'refusal',
    begin: async (member, world) => {
      await writeToken(member, world, -60)
      await revokeAll(world.pods.bao)
    },
    end: (member, world) => writeToken(member, world),
  }),
]

const RIGHTS: readonly SoakFault[] = [
  faultOfVault({
    name: 'the policy of the plugin has no rights',
    members: PLUGIN_NAMES,
    uses: ['vault: rights'],
    effect: 'refusal',
    begin: async (world) => {
      await persist(() => world.kms.writePolicy(NO_RIGHTS))
      await requireRefusal(world)
    },
    end: ({ kms }) => persist(() => kms.writePolicy()),
  }),
  faultOfVault({
    name: 'the policy of the plugin has no right to decrypt',
    members: PLUGIN_NAMES,
    uses: ['vault: rights'],
    effect: 'refusal',
    begin: async ({ kms }) => {
      const hcl = (await renderPolicy('kms.hcl')).replace('transit/decrypt/', 'transit/none/')
      await persist(() => kms.writePolicy(hcl))
    },
    end: ({ kms }) => persist(() => kms.writePolicy()),
  }),
  faultOfVault({
    name: 'the role of the plugin is removed, and its tokens are revoked',
    members: PLUGIN_NAMES,
    uses: ['vault: rights', 'vault: tokens'],
    effect: 'refusal',
    begin: async (world) => {
      await persist(() => world.pods.bao.api('DELETE', `auth/jwt/role/${ROLE}`))
      await revokeAll(world.pods.bao)
      await requireRefusal(world)
    },
    end: ({ kms }) => persist(() => kms.enableLogin({ ttl: KMS_TOKEN_TTL })),
  }),
  faultOfVault({
    name: 'the policy of the pods has no rights',
    members: OF_PODS,
    uses: ['vault: rights of pods'],
    effect: 'refusal',
    begin: ({ pods }) => persist(() => writePolicy(pods.bao, POD_ROLE, NO_RIGHTS)),
    end: ({ pods }) => persist(() => enablePods(pods)),
  }),
  faultOfVault({
    name: 'the role of the pods is removed, and their tokens are revoked',
    members: OF_PODS,
    uses: ['vault: rights of pods', 'vault: tokens'],
    effect: 'refusal',
    begin: async ({ pods }) => {
      await persist(() => pods.bao.api('DELETE', `auth/jwt/role/${POD_ROLE}`))
      await revokeAll(pods.bao)
    },
    end: async ({ pods, csi }) => {
      await persist(() => enablePods(pods))
      csi.renewTokens()
    },
  }),
]

/** What an operator does in Vault, and what happens to the logins. */
export const VAULT_FAULTS: readonly SoakFault[] = [...ROTATIONS, ...TOKENS, ...RIGHTS]

async function revokeAll(bao: OpenBao): Promise<void> {
  await persist(() => bao.api('PUT', 'sys/leases/revoke-prefix/auth/jwt/login'))
}

async function writeToken(member: Member, { kms }: World, expiresIn?: number): Promise<void> {
  if (!(member instanceof PluginMember)) throw new Error(`${member.name} has no token file`)
  const token = await kms.issueToken(expiresIn === undefined ? {} : { expiresIn })
  writeFileSync(`${member.tokenFile}.new`, token, { mode: 0o600 })
  renameSync(`${member.tokenFile}.new`, member.tokenFile)
}

/** Waits until every plugin that works announces the latest version. */
async function waitForAnnouncement({ plugins, versions, findings }: World): Promise<void> {
  for (const member of plugins) {
    const isSeen = () =>
      !member.condition.isSettled || member.apiServer.announcedVersion === versions.latest
    await eventually('the new version', isSeen, SEEN_WITHIN).catch(() =>
      findings.add('key id', `${member.name}: it does not announce the new version`),
    )
  }
}

/** Waits until Status of every plugin shows that Vault refuses. A plugin that cannot reach Vault cannot know that. */
async function requireRefusal({ plugins, findings }: World): Promise<void> {
  for (const member of plugins) {
    const isSeen = async () =>
      member.condition.has('down') ||
      member.condition.has('outage') ||
      (await member.apiServer.status()) !== 'ok'
    await eventually('the refusal', isSeen, SEEN_WITHIN).catch(() =>
      findings.add('Status', `${member.name}: Status is ok although Vault refuses`),
    )
  }
}
