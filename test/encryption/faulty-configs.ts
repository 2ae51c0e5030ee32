/** A configuration that kube-apiserver accepts; each row changes one thing in it. */
export const GOOD = `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources:
      - secrets
    providers:
      - kms:
          apiVersion: v2
          name: transit-bridge
          endpoint: unix:///run/transit-bridge/kms.sock
          timeout: 3s
      - identity: {}
`

const AES_KEY = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='

/** A rule more, for these resources, behind the first. */
function rule(names: string, provider = 'identity: {}'): string {
  return `${GOOD}  - resources: [${names}]\n    providers:\n      - ${provider}\n`
}

function resources(list: string): string {
  return change('    providers', `${list}    providers`)
}

function change(from: string, to: string): string {
  if (!GOOD.includes(from)) throw new Error(`the good configuration has no ${from}`)
  return GOOD.replace(from, () => to)
}

/** What is wrong, the text, and the line and message of the result. */
export type FaultyConfig = readonly [what: string, text: string, line: number, words: string]

/** What kube-apiserver refuses; test/e2e/api-server/encryption-configuration.test.ts asks the real one about each. */
export const REFUSED: readonly FaultyConfig[] = [
  ['an unknown field', change('timeout: 3s', 'timout: 3s'), 11, 'did you mean timeout?'],
  [
    'a field of another case',
    change('apiVersion: v2', 'apiversion: v2'),
    8,
    'did you mean apiVersion?',
  ],
  ['no apiVersion of kms', change('          apiVersion: v2\n', ''), 7, 'which means v1'],
  ['kms v1', change('apiVersion: v2', 'apiVersion: v1'), 8, 'KMSv1=true'],
  ['another version of kms', change('apiVersion: v2', 'apiVersion: v3'), 8, 'neither v1 nor v2'],
  ['cachesize with v2', change('timeout: 3s', 'cachesize: 100'), 11, 'not supported in v2'],
  [
    'a colon in the name',
    change('name: transit-bridge', 'name: "transit:bridge"'),
    9,
    'contains a colon',
  ],
  ['no name', change('          name: transit-bridge\n', ''), 7, 'is missing'],
  [
    'no endpoint',
    change('          endpoint: unix:///run/transit-bridge/kms.sock\n', ''),
    7,
    'is missing',
  ],
  ['an endpoint of TCP', change('unix:///run', 'tcp:///run'), 10, 'not the URL of a Unix socket'],
  [
    'an endpoint without a scheme',
    change('unix:///run', '/run'),
    10,
    'not the URL of a Unix socket',
  ],
  ['an endpoint with a broken escape', change('unix:///run', 'unix:///%zz'), 10, 'not the URL'],
  ['a timeout of 0', change('timeout: 3s', 'timeout: 0s'), 11, 'more than 0'],
  ['a negative timeout', change('timeout: 3s', 'timeout: -3s'), 11, 'more than 0'],
  ['a timeout without a unit', change('timeout: 3s', 'timeout: "3"'), 11, 'not a duration'],
  ['a timeout that is a number', change('timeout: 3s', 'timeout: 3'), 11, 'must be text'],
  ['a name that is a number', change('name: transit-bridge', 'name: 7'), 9, 'must be text'],
  [
    'a name that is a boolean to YAML 1.1',
    change('name: transit-bridge', 'name: yes'),
    9,
    'must be text',
  ],
  ['an empty timeout', change('timeout: 3s', 'timeout: ""'), 11, 'is empty'],
  [
    'a name twice',
    rule(
      'configmaps',
      'kms: {apiVersion: v2, name: transit-bridge, endpoint: "unix:///run/b.sock"}',
    ),
    15,
    'name of another provider',
  ],
  [
    'an element with two providers',
    change('      - identity', '        identity'),
    7,
    'has kms and identity',
  ],
  [
    'an element without a provider',
    change('identity: {}', 'identity:'),
    12,
    'identity: {} with its braces',
  ],
  ['an unknown provider', change('identity: {}', 'identiy: {}'), 12, 'did you mean identity?'],
  [
    'no providers',
    'apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n  - resources: [secrets]\n',
    4,
    'has no provider',
  ],
  [
    'no rules',
    'apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n',
    1,
    'has no rule',
  ],
  ['no resources', change('      - secrets\n', ''), 4, 'has no resource'],
  [
    'another kind',
    change('kind: EncryptionConfiguration', 'kind: EncryptionConfig'),
    2,
    'kind: EncryptionConfiguration',
  ],
  ['no kind', change('kind: EncryptionConfiguration\n', ''), 1, 'is missing'],
  [
    'another apiVersion',
    change('apiserver.config.k8s.io/v1\n', 'v1\n'),
    1,
    'apiserver.config.k8s.io/v1',
  ],
  ['a capital', change('- secrets', '- Secrets'), 5, 'write secrets'],
  ['a star alone', change('- secrets', '- "*"'), 5, '*. for the core group'],
  ['a resource of all groups', change('- secrets', '- "secrets.*"'), 5, 'all groups'],
  ['events of their new group', change('- secrets', '- "*.events.k8s.io"'), 5, 'write events'],
  ['a group that is gone', change('- secrets', '- ingresses.extensions'), 5, 'no longer exists'],
  ['a resource without an API', change('- secrets', '- serviceipallocations'), 5, 'no REST API'],
  ['a resource twice', resources('      - secrets\n'), 4, 'has secrets twice'],
  ['a resource and its group', resources('      - "*."\n'), 4, 'one includes the other'],
  ['a resource and all', resources('      - "*.*"\n'), 4, 'one includes the other'],
  [
    'a rule masked by its group',
    rule('"*.apps"').concat(
      '  - resources: [deployments.apps]\n    providers:\n      - identity: {}\n',
    ),
    16,
    'masked by the earlier rule for *.apps',
  ],
  [
    'a rule masked by all',
    rule('"*.*"').concat('  - resources: [configmaps]\n    providers:\n      - identity: {}\n'),
    16,
    'masked by the earlier rule for *.*',
  ],
  [
    'a key that is not base64',
    change('identity: {}', 'secretbox: {keys: [{name: a, secret: "!"}]}'),
    12,
    'not base64',
  ],
  [
    'a key of a wrong length',
    change('identity: {}', 'aescbc: {keys: [{name: a, secret: AAAA}]}'),
    12,
    'has 3 bytes',
  ],
  [
    'a secretbox key of a length of AES',
    change('identity: {}', 'secretbox: {keys: [{name: a, secret: AAAAAAAAAAAAAAAAAAAAAA==}]}'),
    12,
    'use 32 bytes',
  ],
  [
    'a key without a name',
    change('identity: {}', `aesgcm: {keys: [{secret: ${AES_KEY}}]}`),
    12,
    'is missing',
  ],
  ['no keys', change('identity: {}', 'aesgcm: {keys: []}'), 12, 'has no key'],
  [
    'a key twice in YAML',
    change('timeout: 3s', 'timeout: 3s\n          timeout: 4s'),
    12,
    'is set twice',
  ],
  ['no YAML', 'resources: [', 1, ''],
  ['nothing', '', 0, 'is empty'],
]

/** What kube-apiserver accepts although it is unsafe: what, the text, and the message. */
export const UNSAFE: readonly FaultyConfig[] = [
  [
    'identity first',
    change('      - kms:', '      - identity: {}\n      - kms:').replace(
      / {6}- identity: \{\}\n$/,
      '',
    ),
    7,
    'as plaintext',
  ],
  [
    'AES-CBC first',
    change('      - kms:', `      - aescbc: {keys: [{name: a, secret: ${AES_KEY}}]}\n      - kms:`),
    7,
    'AES-CBC',
  ],
  ['two slashes', change('unix:///run', 'unix://run'), 10, 'three slashes'],
  [
    'an abstract socket',
    change('unix:///run/transit-bridge/kms.sock', 'unix:///@transit-bridge'),
    10,
    'any process on the host',
  ],
  ['a long timeout', change('timeout: 3s', 'timeout: 1m'), 11, 'waits that long'],
  ['a short timeout', change('timeout: 3s', 'timeout: 200ms'), 11, 'too short'],
  [
    'a second document',
    `${GOOD}---\nkind: EncryptionConfiguration\n`,
    14,
    'kube-apiserver ignores it',
  ],
  ['a misspelled resource', resources('      - configmap\n'), 6, 'did you mean configmaps?'],
  ['a resource without its group', resources('      - deployments\n'), 6, 'write deployments.apps'],
  ['a resource of another group', resources('      - secrets.core\n'), 6, 'write secrets'],
  ['a misspelled group', resources('      - "*.app"\n'), 6, 'did you mean *.apps?'],
  ['a name with a space', resources('      - "config maps"\n'), 6, 'cannot be the name'],
  ['what is never encrypted', resources('      - apiserverpeeripinfo\n'), 6, 'never encrypted'],
  ['no secrets', change('- secrets', '- configmaps'), 3, 'no rule encrypts secrets'],
]

/** What is correct, at least for now. */
export const TAKEN: readonly (readonly [what: string, text: string])[] = [
  ['the usual one', GOOD],
  ['a rule for everything behind a narrow one', rule('"*.*"')],
  ['the same resource in two rules', rule('secrets')],
  ['a boolean of YAML 1.1 in quotes', change('name: transit-bridge', "name: 'yes'")],
  ['no timeout', change('          timeout: 3s\n', '')],
  ['a timeout as Go writes it', change('timeout: 3s', 'timeout: 1.5s')],
  ['a custom resource', resources('      - widgets.example.com\n')],
  [
    'the old kind',
    change('kind: EncryptionConfiguration', 'kind: EncryptionConfig').replace(
      'apiserver.config.k8s.io/v1\n',
      'v1\n',
    ),
  ],
  ['a resource of the core group with its dot', change('- secrets', '- secrets.')],
]
