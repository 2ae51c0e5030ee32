import * as v from 'valibot'

import { CSI_OBJECT_TYPES, CSI_OPERATIONS } from '../config.ts'
import { duration } from './duration.ts'
import { socketPath } from './socket.ts'
import { runtimeSection } from './csi-runtime-section.ts'
import { authMount, claim, engineNamespace, mountPath } from './text.ts'

const METHOD = 'How the token of a pod logs in: jwt or kubernetes.'

function podLogin<const Name extends 'jwt' | 'kubernetes'>(name: Name) {
  return {
    method: v.pipe(v.literal(name), v.description(METHOD), v.metadata({ kind: 'word' })),
    mount: v.optional(authMount('Mount of the auth method, without auth/.'), name),
    namespace: v.exactOptional(
      engineNamespace(
        'Vault namespace in which pods log in. By default the namespace of the Transit engine.',
      ),
    ),
  }
}

const jwtLogin = podLogin('jwt')
const auth = v.pipe(
  v.variant('method', [
    v.strictObject({ ...jwtLogin, method: v.optional(jwtLogin.method, 'jwt') }),
    v.strictObject(podLogin('kubernetes')),
  ]),
  v.description('How the token of a pod logs in to Vault.'),
)

const ownNamespace = engineNamespace(
  'Vault namespace of the Transit engines that this entry is for.',
)
const authOfNamespace = v.variant('method', [
  v.strictObject({
    vaultNamespace: ownNamespace,
    ...jwtLogin,
    method: v.optional(jwtLogin.method, 'jwt'),
  }),
  v.strictObject({ vaultNamespace: ownNamespace, ...podLogin('kubernetes') }),
])

/** A list of patterns in which `*` matches any text. */
function patterns(meaning: string, allowed: RegExp, letters: string) {
  return v.pipe(
    v.array(
      v.pipe(
        v.string(),
        v.regex(allowed, `is not a pattern; use ${letters}, and * to match any text`),
      ),
    ),
    v.minLength(1, 'is an empty list, which matches nothing; write ["*"] to match all'),
    v.description(`${meaning} * matches any text.`),
    v.metadata({ kind: 'list of patterns' }),
  )
}

/** Names of objects in Kubernetes: DNS subdomains, RFC 1123. */
const OBJECT_NAME = /^[a-z0-9.*-]{1,253}$/
const OBJECT_LETTERS = 'lower-case letters, digits, . and -'
const VAULT_NAME = /^[\w.*-]{1,253}$/
const VAULT_LETTERS = 'letters, digits, _, . and -'

const ruleFields = v.strictObject({
  vaultNamespace: v.exactOptional(
    engineNamespace(
      'Vault namespace of the Transit engine, without patterns; root is the root namespace. By default vault.namespace.',
    ),
  ),
  mount: v.exactOptional(
    mountPath('Mount of the Transit engine, without patterns. By default csi.mount.'),
  ),
  namespaces: patterns('Namespaces of the pods.', OBJECT_NAME, OBJECT_LETTERS),
  serviceAccounts: patterns('Service accounts of the pods.', OBJECT_NAME, OBJECT_LETTERS),
  roles: patterns('Vault roles with which the pods may log in.', VAULT_NAME, VAULT_LETTERS),
  keys: patterns('Transit keys that the pods may use.', VAULT_NAME, VAULT_LETTERS),
  types: v.optional(
    v.pipe(
      v.array(v.picklist(CSI_OBJECT_TYPES)),
      v.minLength(1, 'is an empty list, which allows nothing; name at least one type'),
      v.description(`Allowed object types of files: ${CSI_OBJECT_TYPES.join(', ')}.`),
      v.metadata({ kind: 'list of words' }),
    ),
  ),
  operations: v.optional(
    v.pipe(
      v.array(v.picklist(CSI_OPERATIONS)),
      v.minLength(1, 'is an empty list, which allows nothing; name at least one operation'),
      v.description(
        `Allowed operations at run time, through the socket of a volume: ${CSI_OPERATIONS.join(', ')}.`,
      ),
      v.metadata({ kind: 'list of words' }),
    ),
  ),
})

const rule = v.pipe(
  ruleFields,
  v.check(
    ({ types, operations }) => types !== undefined || operations !== undefined,
    'allows nothing; add types (for files) or operations (at run time)',
  ),
  v.transform(({ types = [], ...rest }) => ({ ...rest, types })),
)

function nameEntry({ vaultNamespace }: { readonly vaultNamespace: string }): string {
  return vaultNamespace
}

/** The section `csi`. The default of its `mount` is `transit.mount`, set in config-schema.ts. */
export const csiSection = v.pipe(
  v.strictObject({
    socket: v.optional(
      socketPath('Unix socket that the Secrets Store CSI driver calls.'),
      '/var/run/secrets-store-csi-providers/transit-bridge.sock',
    ),
    audience: claim('Audience of the tokens of the pods.'),
    auth: v.optional(auth, {}),
    authByNamespace: v.optional(
      v.pipe(
        v.array(authOfNamespace),
        v.check(
          (entries) => new Set(entries.map(nameEntry)).size === entries.length,
          'has two entries for one Vault namespace; remove one of them',
        ),
        v.description('Replaces csi.auth for individual Vault namespaces.'),
        v.metadata({ kind: 'list of logins' }),
      ),
      [],
    ),
    mount: v.exactOptional(
      mountPath(
        'Mount of the Transit engine with the keys of the workloads. By default transit.mount.',
      ),
    ),
    refreshInterval: v.optional(duration('Maximum age of key metadata.', '1s', '5m'), '30s'),
    revalidateAfter: v.optional(
      duration(
        'How long decrypted content is cached for its own volume before Vault decides again; 0s disables this cache.',
        '0s',
        '1h',
      ),
      '10m',
    ),
    rules: v.optional(
      v.pipe(
        v.array(rule),
        v.description('What pods may use. Nothing is allowed without a rule.'),
        v.metadata({ kind: 'list of rules' }),
      ),
      [],
    ),
    runtime: v.exactOptional(runtimeSection),
  }),
  v.description('The provider for the Secrets Store CSI driver: transit-bridge csi.'),
  v.transform(({ refreshInterval, revalidateAfter, ...rest }) => ({
    ...rest,
    refreshIntervalMs: refreshInterval,
    revalidateAfterMs: revalidateAfter,
  })),
)
