const KEY = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='
const HEAD = 'apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n'
const RULE = `resources:\n- resources: [secrets]\n  providers:\n  - aescbc: {keys: [{name: key1, secret: ${KEY}}]}\n`
const KMS = 'kms: {apiVersion: v2, name: a, endpoint: "unix:///run/a.sock"}'

/** Files in the shapes that installers write, and faults that people make in them. */
export const REAL_ENCRYPTION_FILES: readonly string[] = [
  // k3s and RKE2 write JSON on one line.
  `{"kind":"EncryptionConfiguration","apiVersion":"apiserver.config.k8s.io/v1","resources":[{"resources":["secrets"],"providers":[{"aescbc":{"keys":[{"name":"aescbckey-2024-01-02T03:04:05Z","secret":"${KEY}"}]}},{"identity":{}}]}]}`,
  // kops, kubespray, and the documentation of Kubernetes.
  `kind: EncryptionConfig\napiVersion: v1\nresources:\n  - resources:\n      - secrets\n    providers:\n      - aescbc:\n          keys:\n            - name: key1\n              secret: ${KEY}\n      - identity: {}\n`,
  `---\nkind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n  - resources:\n      - secrets\n    providers:\n      - secretbox:\n          keys:\n            - name: key1\n              secret: ${KEY}\n      - identity: {}\n`,
  `${HEAD}resources:\n  - resources:\n      - secrets\n      - configmaps\n      - pandas.awesome.bears.example\n    providers:\n      - identity: {}\n      - aesgcm:\n          keys:\n            - name: key1\n              secret: ${KEY}\n            - name: key2\n              secret: ${KEY}\n      - ${KMS}\n`,
  // One rule shares its providers with another.
  `${HEAD}resources:\n- resources: [secrets]\n  providers: &p\n  - ${KMS}\n- resources: [configmaps]\n  providers: *p\n`,
  `${HEAD}resources:\n- resources: [configmaps]\n  <<: {providers: [{${KMS}}]}\n`,
  `${HEAD}resources:\n- &r\n  resources: [secrets]\n  providers: [{identity: {}}]\n- <<: *r\n  resources: [configmaps]\n`,
  `${HEAD}resources:\n- resources: [secrets]\n  <<: [{providers: [{identity: {}}]}, {providers: [{${KMS}}]}]\n`,
  `${HEAD}x: &p [{identity: {}}]\nresources:\n- resources: [secrets]\n  providers: *p\n`,
  `${HEAD}${RULE}---\n${HEAD}`,
  `${HEAD}${RULE}...\nrest: [\n`,
  `${HEAD}${RULE}kind: EncryptionConfiguration\n`,
  `${HEAD}${RULE.replaceAll('  ', '\t')}`,
  `\uFEFF${HEAD}${RULE}`,
  `${HEAD}${RULE}`.replaceAll('\n', '\r\n'),
  `${HEAD}${RULE}`.replaceAll('\n', '\r'),
  `${HEAD}${RULE}# \u0007\n`,
  `${HEAD}${RULE}`.replace('key1', '"key\\u0031"'),
  `${HEAD}${RULE}`.replace('key1', '"key\\x31"'),
  `${HEAD}${RULE}`.replace('key1', '!!binary a2V5MQ=='),
  `${HEAD}${RULE}`.replace('key1', '! key1'),
  `${HEAD}${RULE}`.replace('key1', '!custom key1'),
  `${HEAD}${RULE}`.replace('key1', '!e!x key1'),
  `{"kind":"EncryptionConfiguration","apiVersion":"apiserver.config.k8s.io/v1","resources":[{"resources":["secrets",],"providers":[{"identity":{}},]},]}`,
  `{"kind":"EncryptionConfiguration","kind":"EncryptionConfiguration","apiVersion":"apiserver.config.k8s.io/v1","resources":[{"resources":["secrets"],"providers":[{"identity":{}}]}]}`,
  `{"kind":"EncryptionConfiguration","apiVersion":"apiserver.config.k8s.io/v1","resources":[{"resources":["secrets"],"providers":[{"identity":{}}]}]} {}`,
  `{"kind":"EncryptionConfiguration", # comment\n"apiVersion":"apiserver.config.k8s.io/v1","resources":[{"resources":["secrets"],"providers":[{"identity":{}}]}]}`,
  `{kind: EncryptionConfiguration, apiVersion: apiserver.config.k8s.io/v1, resources: [{resources: [secrets], providers: [{identity: {}}]}]}`,
  '',
  ' ',
  '\n',
  '# nothing\n',
  '---\n',
  'null\n',
  '[]',
  '{}',
  'kind: EncryptionConfiguration\n',
  `${HEAD}resources: []\n`,
  `${HEAD}resources: {}\n`,
  `${HEAD}resources:\n`,
]
