import type { Problem } from './decoder.ts'
import type { EncryptionRule, KmsProvider, Provider, StaticKey } from './document.ts'
import { readSocketPath } from './endpoint.ts'
import type { SafetyProblem } from './fault.ts'
import type { Serving } from '../kube/discovery.ts'
import { parseGoDuration } from './go-duration.ts'
import { checkResourceNames } from './resource-names.ts'
import { isCovered } from './resource-rules.ts'

/** With a longer timeout, a plugin that hangs blocks every write of a Secret for longer than clients wait. */
const LONG_TIMEOUT_MS = 10_000
/** A shorter timeout is not enough for a login to Vault or one retry. */
const SHORT_TIMEOUT_MS = 1_000

export interface CheckOptions {
  /** kms.socket of the plugin; without it, the endpoints are not compared with it. */
  readonly socket?: string | undefined
  /** What an API server says about names in {@link listCustomNames}; without it, they are only noted. */
  readonly serving?: ReadonlyMap<string, Serving> | undefined
}

/** What kube-apiserver accepts although it is unsafe. */
export function checkSafety(
  rules: readonly EncryptionRule[],
  { socket, serving }: CheckOptions,
): readonly SafetyProblem[] {
  if (rules.length === 0) return []
  const forSecrets = rules.find((rule) => isCovered(rule, 'secrets'))
  return [
    ...checkSecretsAreCovered(rules),
    ...checkResourceNames(rules, serving),
    ...(socket === undefined ? [] : checkSocket(rules, socket)),
    ...rules.flatMap((rule) => [
      ...checkOrder(rule, rule === forSecrets),
      ...checkEverything(rule),
      ...rule.providers.flatMap(({ kms }) => (kms === undefined ? [] : checkKms(kms))),
      ...rule.providers.flatMap(({ keys }) => keys.flatMap(checkKeyName)),
    ]),
  ]
}

function checkSecretsAreCovered(rules: readonly EncryptionRule[]): readonly SafetyProblem[] {
  if (rules.some((rule) => isCovered(rule, 'secrets'))) return []
  const hint = 'add a rule with resources: [secrets]'
  return [{ at: ['resources'], severity: 'unsafe', message: 'no rule encrypts secrets', hint }]
}

function checkSocket(rules: readonly EncryptionRule[], socket: string): readonly SafetyProblem[] {
  const ours = rules.flatMap(({ providers }) => providers.filter((one) => speaksTo(one, socket)))
  if (ours.length === 0) {
    const message = `no provider uses the socket of the plugin, ${socket}`
    return [{ at: ['resources'], severity: 'unsafe', message, hint: `endpoint: unix://${socket}` }]
  }
  const forSecrets = rules.find((rule) => isCovered(rule, 'secrets'))
  const others = forSecrets?.providers.every((one) => !speaksTo(one, socket)) === true
  const [first] = forSecrets?.providers ?? []
  const foreign: readonly SafetyProblem[] =
    others && first !== undefined
      ? [
          {
            at: first.at,
            severity: 'unsafe',
            message: `writes secrets, and no provider of this rule uses the socket of the plugin, ${socket}`,
            hint: 'put a kms provider with the plugin first',
          },
        ]
      : []
  const later = rules
    .filter(({ providers }) => providers.slice(1).some((one) => speaksTo(one, socket)))
    .map(({ at }) => ({
      at: [...at, 'providers'],
      severity: 'note' as const,
      message: 'reads with transit-bridge and still writes with another provider',
      hint: 'put kms first once every API server has this file',
    }))
  return [...foreign, ...later]
}

function speaksTo({ kms }: Provider, socket: string): boolean {
  return kms?.endpoint !== undefined && readSocketPath(kms.endpoint) === socket
}

/** A rule with identity alone exempts resources from a later, wider rule, which is fine except for secrets. */
function checkOrder(
  { at, providers }: EncryptionRule,
  holdsSecrets: boolean,
): readonly SafetyProblem[] {
  const [first] = providers
  const kind = first?.kinds[0]
  if (first === undefined || kind === undefined) return []
  if (kind === 'identity') {
    if (providers.length === 1 && !holdsSecrets) return []
    const message = 'is first, so everything is written as plaintext'
    return [{ at: first.at, severity: 'unsafe', message, hint: 'put it last, or remove it' }]
  }
  const identity = providers.find(({ kinds }) => kinds.includes('identity'))
  return [
    ...(kind === 'aescbc' ? [weakCipher(first)] : []),
    ...(identity === undefined ? [] : [leftOver(identity, identity === providers.at(-1), at)]),
  ]
}

function weakCipher({ at }: Provider): SafetyProblem {
  const message = 'writes with AES-CBC, which does not detect changed ciphertext'
  return { at, severity: 'unsafe', message, hint: 'put kms first' }
}

function leftOver({ at }: Provider, isLast: boolean, rule: Problem['at']): SafetyProblem {
  const where = isLast ? '' : ', and is not last'
  const message = `allows plaintext to be read${where}`
  const hint = 'needed while old data is rewritten; remove it when etcd holds no plaintext'
  return { at: at.length === 0 ? rule : at, severity: 'note', message, hint }
}

/**
 * Post-start hooks such as rbac/bootstrap-roles end the process when they cannot read for 30 s (kubernetes:
 * pkg/registry/rbac/rest/storage_rbac.go, PostStartHook).
 */
function checkEverything({ at, resources }: EncryptionRule): readonly SafetyProblem[] {
  const index = resources.indexOf('*.*')
  if (index < 0) return []
  const message = 'encrypts everything, so an API server without its plugin exits every 30 s'
  const hint = 'run the plugin independently of this API server: as a static pod or with systemd'
  return [{ at: [...at, 'resources', index], severity: 'note', message, hint }]
}

/** The name is followed by a colon in etcd, so `a:b` looks like `a` (apiserver: pkg/storage/value/transformer.go). */
function checkKeyName({ at, name }: StaticKey): readonly SafetyProblem[] {
  if (name?.includes(':') !== true) return []
  const message = `contains a colon, so verify takes its data for that of a key ${JSON.stringify(name.split(':')[0])}, and proves nothing about it`
  const hint = 'choose a name without colons for the next key'
  return [{ at: [...at, 'name'], severity: 'note', message, hint }]
}

function checkKms(kms: KmsProvider): readonly SafetyProblem[] {
  return [...checkEndpoint(kms), ...checkTimeout(kms)]
}

function checkEndpoint({ at, endpoint }: KmsProvider): readonly SafetyProblem[] {
  const path = endpoint === undefined ? undefined : readSocketPath(endpoint)
  if (endpoint === undefined || path === undefined) return []
  const place = [...at, 'endpoint']
  if (path.startsWith('/@')) {
    const message = 'is an abstract socket, which any process on the host can open'
    return [{ at: place, severity: 'unsafe', message, hint: 'use a path' }]
  }
  if (/^unix:\/\/\/[^/]/i.test(endpoint)) return []
  const message =
    'does not have three slashes, so kube-apiserver dials a different path than the URL suggests'
  return [
    { at: place, severity: 'unsafe', message, hint: 'write unix:///run/transit-bridge/kms.sock' },
  ]
}

function checkTimeout({ at, timeout }: KmsProvider): readonly SafetyProblem[] {
  const milliseconds = timeout === undefined ? undefined : parseGoDuration(timeout)
  if (milliseconds === undefined || milliseconds <= 0) return []
  const place = [...at, 'timeout']
  if (milliseconds > LONG_TIMEOUT_MS) {
    const message = 'is too long: if the plugin hangs, every write of a Secret waits that long'
    return [{ at: place, severity: 'unsafe', message, hint: 'write 3s' }]
  }
  if (milliseconds >= SHORT_TIMEOUT_MS || timeout === '') return []
  const message = 'is too short for a login to Vault or a retry'
  return [{ at: place, severity: 'unsafe', message, hint: 'write 3s' }]
}
