import { after, end, test } from 'tap'
import { quoted } from '../../src/text/quoted.ts'
import type { CsiRule } from '../../src/config/config.ts'
import { PodVault, newPod, type AttributesChange, type Pod } from './pod-vault.ts'
import { ALLOW_ALL, failure, podRequests, startFixture } from './fixture.ts'

const vault = await PodVault.start()
const rules: readonly CsiRule[] = [
  {
    namespaces: ['shop'],
    serviceAccounts: ['web', 'job-*'],
    roles: ['web'],
    keys: ['app-*'],
    types: ['publicKey', 'jwks', 'decrypt'],
  },
  { ...ALLOW_ALL, namespaces: ['vault-team'], keys: ['*'] },
]
const fixture = await startFixture(vault, { rules })
after(async () => {
  await fixture.stop()
  await vault.stop()
})

/** What every refusal must not repeat. */
const CIPHERTEXT = 'vault:v1:c2VjcmV0LWNpcGhlcnRleHQ='
const GOOD = { path: 'db/password', type: 'decrypt', key: 'app-data', ciphertext: CIPHERTEXT }
const PUBLIC = { path: 'a.pem', type: 'publicKey', key: 'app-signing' }

const PART = { name: 'part', type: 'publicKey', key: 'app-x' }
const BUNDLE = { path: 'y', type: 'bundle', of: ['part'] }

interface Case {
  readonly name: string
  readonly objects?: string | readonly unknown[]
  readonly change?: AttributesChange | ((pod: Pod) => Promise<AttributesChange>)
  readonly pod?: Partial<Pod>
  readonly code: string
  readonly words: RegExp
}

const TOKENS = 'csi.storage.k8s.io/serviceAccount.tokens'
const invalid = (name: string, objects: Case['objects'], words: RegExp): Case => ({
  name,
  ...(objects === undefined ? {} : { objects }),
  code: 'INVALID_ARGUMENT',
  words,
})
const path = (name: string, given: string, words: RegExp): Case =>
  invalid(name, [{ ...PUBLIC, path: given }], words)
const parameter = (name: string, value: string, words: RegExp): Case => ({
  name: `a parameter ${name}`,
  change: { [name]: value },
  code: 'INVALID_ARGUMENT',
  words,
})
const token = (name: string, wanted: Parameters<PodVault['tokens']>[1], words: RegExp): Case => ({
  name,
  change: async (pod) => ({ [TOKENS]: await vault.tokens(pod, wanted) }),
  code: 'UNAUTHENTICATED',
  words,
})

const CASES: readonly Case[] = [
  parameter(
    'vaultAddress',
    'http://evil',
    /vaultAddress: is not a known field; addresses, TLS, logins and audiences are set only in the configuration/,
  ),
  parameter(
    'vaultSkipTLSVerify',
    'true',
    /vaultSkipTLSVerify: is not a known field; addresses, TLS/,
  ),
  parameter('audience', 'other', /audience: is not a known field; addresses/),
  parameter('namespace', 'other', /namespace: is not a known field; did you mean vaultNamespace/),
  parameter(
    'vaultKubernetesMountPath',
    'x',
    /vaultKubernetesMountPath: is not a known field; addr/,
  ),
  parameter('mount', '../transit', /mount: is not a valid mount path/),
  parameter('mount', 'transit/', /mount: is not a valid mount path/),
  parameter('mount', 'a'.repeat(600), /mount: is not a valid mount path/),
  parameter('vaultNamespace', '', /vaultNamespace: is not a valid namespace/),
  parameter('vaultNamespace', '/team-a', /vaultNamespace: is not a valid namespace/),
  parameter('vaultNamespace', 'team a', /vaultNamespace: is not a valid namespace/),
  parameter('vaultNamespace', 'a\r\nX-Vault-Token: x', /vaultNamespace: is not a valid name/),
  parameter('caCertFile', '/etc/shadow', /caCertFile: is not a known field; addresses/),
  parameter('roleName', 'admin', /roleName: is not a known field; known fields: role, objects/),
  parameter('object', '[]', /object: is not a known field; did you mean objects/),
  parameter('role', '../admin', /role: is not a valid Vault name/),
  parameter('role', '', /role: is not a valid Vault name/),
  {
    name: 'no role',
    change: { role: undefined },
    code: 'INVALID_ARGUMENT',
    words: /role: is missing; the Vault role/,
  },
  {
    name: 'no objects',
    change: { objects: undefined },
    code: 'INVALID_ARGUMENT',
    words: /objects: is missing; a list/,
  },
  invalid(
    'objects that are not a list',
    'path: x',
    /objects: must be a list, not a mapping; start each object/,
  ),
  invalid('an empty list', '[]', /objects: is an empty list; a volume needs/),
  invalid('objects that are not YAML', '- {path: "x', /objects \(line 1\): a character is missing/),
  invalid(
    'a billion laughs',
    'a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\nd: [*c,*c]',
    /objects \(line 2\): contains a YAML alias; write the values in full/,
  ),
  invalid(
    'one alias',
    '[&a x, *a]',
    /objects \(line 1\): contains a YAML alias; write the values in full/,
  ),
  invalid(
    'an alias to nothing',
    '- path: *.pem',
    /objects \(line 1\): an alias refers to no anchor; text that starts with \* must be in quotes/,
  ),
  invalid(
    'thousands of unknown fields, with an asterisk',
    `- {${Array.from({ length: 3_000 }, (_none, index) => `k${String(index)}: "*"`).join(',')}}`,
    /objects: has more than 4000 structural/,
  ),
  invalid(
    'thousands of unknown fields',
    `- {type: keyInfo,${Array.from({ length: 1_300 }, (_none, index) => `k${String(index)}: 1`).join(',')}}`,
    /objects\[0\]\.k0: is not a known field.* \(8\) .* and 14 more/,
  ),
  invalid(
    'a field with a name of 200,000 characters',
    [{ ...PUBLIC, ['x'.repeat(200_000)]: 1 }],
    /objects\[0\]\."x{40}…": is not a known field/,
  ),
  invalid(
    'a ciphertext that is a number',
    [{ ...GOOD, ciphertext: 5 }],
    /invalid: objects\[0\]\.ciphertext: must be text, not a number; put it in quotes$/,
  ),
  invalid(
    'thousands of keys',
    Array.from({ length: 20 }, (_none, index) => ({
      path: `p${String(index)}`,
      type: 'jwks',
      keys: Array.from({ length: 50 }, (_nothing, key) => `app-${String(index)}-${String(key)}`),
    })),
    /objects: use 1000 Transit keys, more than 200; split them into several classes/,
  ),
  invalid(
    'the keys of thousands of engines',
    Array.from({ length: 3 }, (_none, index) => ({
      path: `p${String(index)}`,
      mount: `m${String(index)}`,
      type: 'jwks',
      keys: Array.from({ length: 70 }, (_nothing, key) => `app-${String(key)}`),
    })),
    /objects: use 210 Transit keys, more than 200/,
  ),
  invalid(
    'a version that is a mapping with toString',
    [{ ...PUBLIC, version: { toString: 1 } }],
    /objects\[0\]\.version: must be a version, not a mapping; use a number/,
  ),
  invalid(
    'a version in a list',
    [{ ...PUBLIC, version: [1] }],
    /objects\[0\]\.version: must be a version, not a list; use a number/,
  ),
  invalid('a YAML tag', '- !!js/function "x"', /objects \(line 1\): a tag .* is unknown/),
  invalid(
    'a nesting of 30,000 lists',
    '['.repeat(30_000),
    /objects: has more than 4000 structural characters .*; split it/,
  ),
  invalid(
    'thousands of bad escapes, each an error with a stack',
    `"${'\\q'.repeat(100_000)}"`,
    /objects: has more than 4000 structural characters/,
  ),
  invalid('a deep nesting', '['.repeat(3_900), /objects \(line 1\): is nested too deeply/),
  invalid(
    'thousands of duplicate keys',
    'k: 1\n'.repeat(1_900),
    /objects: k \(line 2\): is set twice; remove one/,
  ),
  invalid(
    'more objects than a class may have',
    Array.from({ length: 101 }, (_none, index) => ({ ...PUBLIC, path: `p${String(index)}` })),
    /objects: has 101 objects, more than 100/,
  ),
  invalid(
    'more text than a class may have',
    `# ${'x'.repeat(300 * 1024)}`,
    /objects: is longer than 256 KiB; split it/,
  ),
  invalid(
    'more text than a request may have',
    `# ${'x'.repeat(1024 * 1024)}`,
    /^attributes of the request \(the parameters of the class and the volumeAttributes of the pod\) are longer than 1 MiB/,
  ),
  {
    name: 'a volume attribute that is longer than a request may be',
    change: { note: '\u20ac'.repeat(1024 * 1024) },
    code: 'INVALID_ARGUMENT',
    words: /^attributes of the request \(.*\) are longer than 1 MiB; a SecretProviderClass has/,
  },
  {
    name: 'a volume attribute that is longer than a message may be',
    change: { note: 'x'.repeat(5 * 1024 * 1024) },
    code: 'INVALID_ARGUMENT',
    words:
      /^the request \(the parameters of the class .*\) is longer than 4 MiB; a SecretProviderClass has/,
  },
  invalid('an object that is text', ['x'], /objects\[0\]: must be a mapping, not text/),
  invalid('an object that is null', [null], /objects\[0\]: has no value; set it to a mapping/),
  path('an absolute path', '/etc/passwd', /objects\[0\]\.path: is absolute/),
  path('a path out of the volume', '../../etc/passwd', /objects\[0\]\.path: contains \.\./),
  path('a path out of the volume in the middle', 'a/../../b', /contains \.\./),
  path('a path that the driver uses', '..data/x', /objects\[0\]\.path: starts with \.\./),
  path('a path with a dot element', './x', /is not normalized/),
  path('a path with two slashes', 'a//b', /is not normalized/),
  path('a path that ends in a slash', 'a/', /is not normalized/),
  path('a path with a NUL', 'a\u0000b', /contains a control character/),
  path('a path with a line end', 'a\nb', /contains a control character/),
  path('a path that reverses text', 'a\u202eb', /contains a control character/),
  path('a path with a line separator', 'a\u2028b', /contains a control character/),
  path('a path that is too deep', 'x/'.repeat(40) + 'y', /has more than 32 elements/),
  path('an empty path', '', /objects\[0\]\.path: is empty; use the name of a file/),
  path('a name of 256 bytes', 'x'.repeat(256), /has an element that is longer than 255 bytes/),
  path('a path of 5000 bytes', 'x/'.repeat(2500).slice(0, -1), /is longer than 4084 bytes/),
  invalid(
    'the same path twice',
    [PUBLIC, PUBLIC],
    /objects\[1\]\.path: is also the path of objects\[0\]/,
  ),
  invalid(
    'a file where another has a folder',
    [PUBLIC, { ...PUBLIC, path: 'a.pem/b' }],
    /objects\[1\]\.path: is inside the path of objects\[0\]; a path is a file or a folder/,
  ),
  invalid(
    'a file inside the folder of all versions',
    [
      { ...PUBLIC, version: 'all' },
      { ...PUBLIC, path: 'a.pem/1' },
    ],
    /objects\[1\]\.path: is inside/,
  ),
  invalid(
    'no type',
    [{ path: 'x', key: 'app-x' }],
    /objects\[0\]\.type: is missing; use publicKey/,
  ),
  invalid(
    'an unknown type',
    [{ ...PUBLIC, type: 'publickey' }],
    /objects\[0\]\.type: "publickey" is not supported; did you mean publicKey/,
  ),
  invalid(
    'a type with characters that a terminal obeys',
    [{ ...PUBLIC, type: '\u202e\u009b31m\u2028x' }],
    /^[ -~…]*type: "\\u202e\\u009b31m\\u2028x" is not supported/,
  ),
  invalid(
    'a field with a name that reverses text',
    [{ ...PUBLIC, '\u202ea': 1 }],
    /objects\[0\]\."\\u202ea": is not a known field/,
  ),
  invalid(
    'a type from Object.prototype',
    [{ ...PUBLIC, type: 'constructor' }],
    /type: "constructor" is not supported/,
  ),
  invalid(
    'a field of another type',
    [{ ...PUBLIC, ciphertext: CIPHERTEXT }],
    /objects\[0\]\.ciphertext: is not valid here; it belongs to type decrypt/,
  ),
  invalid(
    'an unknown field',
    [{ ...PUBLIC, pth: 'x' }],
    /objects\[0\]\.pth: is not a known field; did you mean path/,
  ),
  invalid(
    'the field __proto__',
    '[{"path":"x","type":"publicKey","key":"app-x","__proto__":{"mode":"0777"}}]',
    /objects\[0\]\.__proto__: is not a known field/,
  ),
  invalid(
    'a key with a slash',
    [{ ...PUBLIC, key: 'app-x/../../sys' }],
    /objects\[0\]\.key: is not a valid Vault name/,
  ),
  invalid(
    'a key with an escape',
    [{ ...PUBLIC, key: 'app-%2e%2e' }],
    /objects\[0\]\.key: is not a valid Vault name/,
  ),
  invalid(
    'a key that is a number',
    [{ ...PUBLIC, key: 7 }],
    /objects\[0\]\.key: must be text, not a number; put it in quotes/,
  ),
  invalid(
    'a mode that is a number',
    [{ ...PUBLIC, mode: 444 }],
    /objects\[0\]\.mode: must be text, not a number/,
  ),
  invalid(
    'a set-uid mode',
    [{ ...PUBLIC, mode: '4755' }],
    /objects\[0\]\.mode: must be four octal digits in quotes, with read permission/,
  ),
  invalid(
    'a mode without read permission',
    [{ ...PUBLIC, mode: '0000' }],
    /objects\[0\]\.mode: must be four octal digits in quotes, with read permission/,
  ),
  invalid(
    'a version below 1',
    [{ ...PUBLIC, version: 0 }],
    /objects\[0\]\.version: must be a version/,
  ),
  invalid(
    'a version that is a word',
    [{ ...PUBLIC, version: 'newest' }],
    /version: must be a version, not "newest"; use a number/,
  ),
  invalid(
    'an unknown format',
    [{ ...PUBLIC, format: 'p12' }],
    /objects\[0\]\.format: "p12" is not supported/,
  ),
  invalid(
    'an unknown algorithm',
    [{ ...PUBLIC, alg: 'none' }],
    /objects\[0\]\.alg: "none" is not supported/,
  ),
  ...(
    [
      [{ alg: 'RS256' }, /\.alg: is only for format: jwk; remove it/],
      [{ kid: 'thumbprint', format: 'der' }, /\.kid: is only for format: jwk; remove it/],
      [{ comment: 'web' }, /\.comment: is only for format: openssh; remove it/],
      [{ format: 'openssh', comment: '' }, /\.comment: is not a comment; use up to 256/],
      [{ format: 'openssh', comment: 'a\nssh-rsa AAAA' }, /\.comment: is not a comment/],
      [{ format: 'openssh', comment: ' a' }, /\.comment: is not a comment/],
      [{ format: 'openssh', comment: 'x'.repeat(300) }, /\.comment: is not a comment/],
      [{ format: 'ssh' }, /\.format: "ssh" is not supported; use pem, jwk, der or openssh/],
      [{ format: 'jwk', kid: '' }, /\.kid: is the same for each key version; write \{\{ version/],
      [{ format: 'jwk', kid: '\u202e{{ version }}' }, /\.kid: contains a control character/],
      [{ format: 'jwk', kid: 'prod' }, /\.kid: is the same for each key version/],
      [{ format: 'jwk', kid: '{{ key }}' }, /\.kid: is the same for each key version/],
      [{ format: 'jwk', kid: '{{ version' }, /\.kid: has \{\{ without \}\}; write \{\{ name \}\}/],
      [{ format: 'jwk', kid: '{{ 1 }}' }, /\.kid: has a \{\{ … \}\} that is not a name/],
      [{ format: 'jwk', kid: '{{}}{{ version }}' }, /\.kid: has a \{\{ … \}\} that is not a name/],
      [
        { format: 'jwk', kid: '{{ env }}' },
        /\.kid: has an unknown placeholder; write \{\{ key \}\} or/,
      ],
      [{ format: 'jwk', kid: '{{ version | hex }}' }, /\.kid: has an unknown placeholder/],
      [{ format: 'jwk', kid: 'a\nb{{ version }}' }, /\.kid: contains a control character/],
      [{ format: 'jwk', kid: `${'x'.repeat(256)}{{ version }}` }, /\.kid: is longer than 256/],
      [{ format: 'jwk', kid: '{{'.repeat(1_900) }, /\.kid: has \{\{ without \}\}/],
      [{ keys: ['app-a'] }, /\.keys: is not valid here; it belongs to type jwks/],
    ] as const
  ).map(([fields, words]) =>
    invalid(
      `a public key with ${quoted(JSON.stringify(fields)).slice(0, 60)}`,
      [{ ...PUBLIC, ...fields }],
      words,
    ),
  ),
  ...(
    [
      [{}, /\.key: is missing; the name of a transit key/],
      [{ key: 'app-a', keys: ['app-b'] }, /\.key: cannot be combined with keys; remove one/],
      [{ key: 'app-a', context: 'a b' }, /\.context: is not base64; use standard/],
      [{ key: 'app-a', context: '' }, /\.context: is empty; remove it/],
      [{ key: 'app-a', context: 'AAAA'.repeat(400) }, /\.context: is longer than 1024 bytes/],
      [{ keys: ['app-a'], context: 'AAAA' }, /\.context: cannot be combined with keys; use key/],
      [{ keys: [] }, /\.keys: is an empty list; list the names/],
      [{ keys: 'app-a' }, /\.keys: must be a list, not text/],
      [{ keys: { a: 1 } }, /\.keys: must be a list, not a mapping/],
      [{ keys: ['app-a', 'app-a'] }, /\.keys: has app-a twice; remove one/],
      [{ keys: ['app-a', '../sys'] }, /objects\[0\]\.keys\[1\]: is not a valid Vault name/],
      [{ keys: ['app-a', 7] }, /objects\[0\]\.keys\[1\]: must be text, not a number; put it/],
      [{ keys: [['app-a']] }, /objects\[0\]\.keys\[0\]: must be text, not a list/],
      [
        { keys: Array.from({ length: 101 }, (_none, index) => `k${String(index)}`) },
        /\.keys: has more than 100 keys; use several/,
      ],
      [
        { keys: ['app-a', 'app-b'], kid: 'v{{ version }}' },
        /\.kid: is the same for each key; write \{\{ key \}\}/,
      ],
    ] as const
  ).map(([fields, words]) =>
    invalid(
      `a JWK set with ${JSON.stringify(fields).slice(0, 60)}`,
      [{ path: 'x', type: 'jwks', ...fields }],
      words,
    ),
  ),
  ...(
    [
      [{ of: undefined }, /objects\[1\]\.of: is missing; list the names/],
      [{ of: [] }, /objects\[1\]\.of: is an empty list; list/],
      [{ of: 'part' }, /objects\[1\]\.of: must be a list, not text/],
      [{ of: ['pat'] }, /objects\[1\]\.of: refers to "pat", which is not .*; did you mean part/],
      [{ of: ['../../etc/passwd'] }, /objects\[1\]\.of\[0\]: is not a valid name/],
      [{ of: ['__proto__'] }, /objects\[1\]\.of: refers to "__proto__", which is not the name/],
      [{ of: [{ path: 'x' }] }, /objects\[1\]\.of\[0\]: must be text, not a mapping/],
      [{ of: Array.from({ length: 101 }, () => 'part') }, /\.of: has more than 100 names/],
      [{ path: undefined }, /objects\[1\]\.path: is missing; the name of the file/],
      [{ name: 'self', of: ['self'] }, /objects\[1\]\.name: is not valid here; it belongs/],
      [{ key: 'app-x' }, /objects\[1\]\.key: is not valid here; it belongs to type publicKey/],
      [{ mount: 'x' }, /objects\[1\]\.mount: is not valid here; it belongs to type publicKey/],
      [{ text: 'x' }, /objects\[1\]\.text: is not valid here; it belongs to type template/],
    ] as const
  ).map(([fields, words]) =>
    invalid(
      `a bundle with ${JSON.stringify(fields).slice(0, 60)}`,
      [PART, { ...BUNDLE, ...fields }],
      words,
    ),
  ),
  ...(
    [
      ['', /objects\[1\]\.text: is empty/],
      [
        '{{ pat }}',
        /\.text: refers to "pat", which is not the name of an object; did you mean part/,
      ],
      ['{{ __proto__ }}', /\.text: refers to "__proto__", which is not/],
      ['{{ toString }}', /\.text: refers to "toString", which is not/],
      ['{{ .Env.HOME }}', /\.text: has a \{\{ … \}\} that is not a name; write \{\{ name \}\}/],
      ['{{ part.contents }}', /\.text: has a \{\{ … \}\} that is not a name/],
      ['{{ part | b64enc }}', /\.text: has the unknown encoding "b64enc"; use base64, hex or json/],
      ['{{ part | text }}{{ part | constructor }}', /has the unknown encoding "constructor"/],
      ['{{ part | base64 | hex }}', /\.text: has a \{\{ … \}\} that is not a name/],
      ['{{ part("x") }}', /\.text: has a \{\{ … \}\} that is not a name/],
      ['{{ "part" }}', /\.text: has a \{\{ … \}\} that is not a name/],
      ['{{ readFile "/etc/shadow" }}', /\.text: has a \{\{ … \}\} that is not a name/],
      ['a\nb\n{{ if }', /\.text: has \{\{ without \}\} \(line 3 of the text\); write/],
      ['{{ {{ part }} }}', /\.text: has a \{\{ … \}\} that is not a name/],
      [`{{ ${'x'.repeat(100_000)} }}`, /\.text: has a \{\{ … \}\} that is not a name/],
      ['{{ part }}'.repeat(101), /\.text: has more than 100 placeholders/],
      ['user=web', /\.text: has no \{\{ name \}\}; use a ConfigMap/],
      ['\ud800', /\.text: contains half of a surrogate pair/],
    ] as const
  ).map(([text, words]) =>
    invalid(
      `the template ${JSON.stringify(text).slice(0, 60)}`,
      [PART, { path: 'y', type: 'template', text }],
      words,
    ),
  ),
  invalid(
    'a template of a folder',
    [
      { ...PART, version: 'all' },
      { path: 'y', type: 'template', text: '{{ part }}' },
    ],
    /objects\[1\]\.text: refers to "part", which has a file for each version; choose one/,
  ),
  invalid(
    'a bundle of a bundle',
    [PART, BUNDLE, { path: 'z', type: 'bundle', of: ['y'] }],
    /objects\[2\]\.of: refers to "y", which is not the name of an object/,
  ),
  invalid(
    'two objects with one name',
    [PART, { ...PART, key: 'app-y' }, BUNDLE],
    /objects\[1\]\.name: is also the name of objects\[0\]/,
  ),
  invalid(
    'an object that is neither mounted nor used',
    [PART, { ...PART, name: 'other' }, BUNDLE],
    /objects\[1\]\.path: is missing, and no bundle or template uses "other"; add a path/,
  ),
  invalid(
    'a mode without a path',
    [{ ...PART, mode: '0400' }, BUNDLE],
    /objects\[0\]\.mode: is only for an object with a path/,
  ),
  ...['', 'a b', '1a', 'x'.repeat(64), '__proto__ '].map((name) =>
    invalid(`the name ${JSON.stringify(name)}`, [{ ...PART, name }], /\.name: is not a valid name/),
  ),
  {
    name: 'a bundle with a part without a rule',
    objects: [{ ...PART, key: 'bank-x' }, BUNDLE],
    code: 'PERMISSION_DENIED',
    words: /: objects\[0\] \(part\): no rule for shop\/web with this role matches key "bank-x"/,
  },
  {
    name: 'a template with a part of a type without a rule',
    objects: [
      { name: 'part', type: 'exportedKey', key: 'app-x' },
      { path: 'y', type: 'template', text: '{{ part }}' },
    ],
    code: 'PERMISSION_DENIED',
    words: /objects\[0\] \(part\): no rule .* type exportedKey \(types\); change/,
  },
  {
    name: 'a certificate without a rule',
    objects: [{ path: 'x', type: 'certificate', key: 'app-x' }],
    code: 'PERMISSION_DENIED',
    words: /: objects\[0\] \(x\): no rule .* and key "app-x" .* type certificate \(types\); change/,
  },
  invalid(
    'a certificate in another format',
    [{ path: 'x', type: 'certificate', key: 'app-x', format: 'der' }],
    /objects\[0\]\.format: is not valid here; it belongs to type publicKey/,
  ),
  {
    name: 'a JWK set with a key without a rule',
    objects: [{ path: 'x', type: 'jwks', keys: ['app-a', 'bank-b'] }],
    code: 'PERMISSION_DENIED',
    words: /objects\[0\] \(x\): no rule for shop\/web with this role matches key "bank-b" \(keys\)/,
  },
  {
    name: 'the key of the KMS plugin among others',
    pod: { namespace: 'vault-team' },
    objects: [{ path: 'x', type: 'jwks', keys: ['app-a', 'k8s-etcd'] }],
    code: 'PERMISSION_DENIED',
    words: /lists key "k8s-etcd" by its exact name \(keys\)/,
  },
  invalid(
    'a value that is not a ciphertext',
    [{ ...GOOD, ciphertext: 'hunter2' }],
    /objects\[0\]\.ciphertext: is not a Transit ciphertext/,
  ),
  invalid(
    'a data key without its wrapped form',
    [{ path: 'x', type: 'dataKey', key: 'app-x' }],
    /objects\[0\]\.wrapped: is missing/,
  ),
  invalid(
    'decode of a data key',
    [{ path: 'x', type: 'dataKey', key: 'app-x', wrapped: CIPHERTEXT, decode: 'hex' }],
    /objects\[0\]\.decode: is not valid here; it belongs to type decrypt/,
  ),
  ...(
    [
      ['', /jsonPointer: is empty; use the path of a part/],
      ['/', /jsonPointer: is only a slash; use the path/],
      ['db/password', /jsonPointer: does not start with \/; use a path such as/],
      ['#/db/password', /jsonPointer: does not start with \//],
      ['/a~2b', /jsonPointer: contains a single ~; write ~0/],
      ['/a~', /jsonPointer: contains a single ~/],
      ['/a\nb', /jsonPointer: contains a control character/],
      ['/a\u202eb', /jsonPointer: contains a control character/],
      ['/a\u2028b', /jsonPointer: contains a control character/],
      ['/\ud800', /jsonPointer: contains a control character/],
      ['/a'.repeat(33), /jsonPointer: has more than 32 parts/],
      [`/${'x'.repeat(512)}`, /jsonPointer: is longer than 512 characters/],
    ] as const
  ).map(([pointer, words]) =>
    invalid(
      `the pointer ${quoted(pointer).slice(0, 20)}`,
      [{ ...GOOD, jsonPointer: pointer }],
      words,
    ),
  ),
  invalid(
    'two pointers',
    [{ ...GOOD, jsonPointer: '/a', yamlPointer: '/a' }],
    /objects\[0\]\.yamlPointer: cannot be combined with jsonPointer; remove one/,
  ),
  invalid(
    'a pointer of a data key',
    [{ path: 'x', type: 'dataKey', key: 'app-x', wrapped: CIPHERTEXT, jsonPointer: '/a' }],
    /objects\[0\]\.jsonPointer: is not valid here; it belongs to type decrypt/,
  ),
  invalid(
    'an unknown encoding',
    [{ ...GOOD, encoding: 'base65' }],
    /objects\[0\]\.encoding: "base65" is not supported; did you mean base64/,
  ),
  invalid(
    'the encoding of the Vault provider',
    [{ ...GOOD, encoding: 'utf-8' }],
    /objects\[0\]\.encoding: "utf-8" is not supported; did you mean utf8/,
  ),
  invalid(
    'decoding of raw bytes',
    [{ ...GOOD, decode: 'raw' }],
    /objects\[0\]\.decode: "raw" is not supported; use base64 or hex/,
  ),
  invalid(
    'associated data that is not base64',
    [{ ...GOOD, associatedData: 'a b' }],
    /objects\[0\]\.associatedData: is not base64/,
  ),
  invalid(
    'optional that is text',
    [{ ...PUBLIC, optional: 'yes' }],
    /objects\[0\]\.optional: must be true or false/,
  ),
  {
    name: 'attributes without a namespace',
    change: { 'csi.storage.k8s.io/pod.namespace': undefined },
    code: 'INVALID_ARGUMENT',
    words:
      /no usable csi\.storage\.k8s\.io\/pod\.namespace; its CSIDriver object needs podInfoOnMount/,
  },
  {
    name: 'a pod uid with a path in it',
    change: { 'csi.storage.k8s.io/pod.uid': '../x' },
    code: 'INVALID_ARGUMENT',
    words: /no usable csi\.storage\.k8s\.io\/pod\.uid/,
  },
  {
    name: 'no token',
    change: { [TOKENS]: undefined },
    code: 'UNAUTHENTICATED',
    words: /sent no tokens; add \{audience: vault\} to spec\.tokenRequests/,
  },
  {
    name: 'tokens that are not JSON',
    change: { [TOKENS]: 'x' },
    code: 'UNAUTHENTICATED',
    words: /are not a JSON object of tokens by audience/,
  },
  {
    name: 'a token that is not a JWT',
    change: { [TOKENS]: JSON.stringify({ vault: { token: 'x.y.z' } }) },
    code: 'UNAUTHENTICATED',
    words: /the service-account token of pod shop\/web-0 is not a JWT/,
  },
  {
    name: 'a token of 20,000 characters',
    change: { [TOKENS]: JSON.stringify({ vault: { token: 'x'.repeat(20_000) } }) },
    code: 'UNAUTHENTICATED',
    words: /has no service-account token for audience "vault"/,
  },
  token(
    'a token for another audience',
    { forAudience: 'other' },
    /sent tokens for audience "other"; add/,
  ),
  token(
    'the token of another service account',
    { name: 'admin' },
    /its subject is "system:serviceaccount:shop:admin", but the volume belongs to "system:serviceaccount:shop:web"/,
  ),
  token(
    'the token of another namespace',
    { namespace: 'bank' },
    /its subject is "system:serviceaccount:bank:web"/,
  ),
  token(
    'a token whose claims disagree',
    { claims: { 'kubernetes.io': { namespace: 'bank' } } },
    /its namespace claim is "bank"/,
  ),
  token(
    'the token of another pod',
    { pod: { name: 'web-1', uid: 'other-uid' } },
    /it is bound to another pod \("web-1", uid "other-uid"\)/,
  ),
  {
    name: 'a namespace without a rule',
    pod: { namespace: 'bank' },
    code: 'PERMISSION_DENIED',
    words: /no rule matches namespace "bank" \(namespaces\)/,
  },
  {
    name: 'a service account without a rule',
    pod: { serviceAccount: 'admin' },
    code: 'PERMISSION_DENIED',
    words: /no rule for namespace "shop" matches service account "admin" \(serviceAccounts\)/,
  },
  {
    name: 'a role without a rule',
    change: { role: 'admin' },
    code: 'PERMISSION_DENIED',
    words: /no rule for shop\/web matches role "admin" \(roles\)/,
  },
  {
    name: 'a key without a rule',
    objects: [{ ...PUBLIC, key: 'bank-signing' }],
    code: 'PERMISSION_DENIED',
    words:
      /objects\[0\] \(a\.pem\): no rule for shop\/web with this role matches key "bank-signing" \(keys\)/,
  },
  {
    name: 'a type without a rule',
    objects: [PUBLIC, { path: 'x', type: 'exportedKey', key: 'app-x' }],
    code: 'PERMISSION_DENIED',
    words:
      /: objects\[1\] \(x\): no rule .* and key "app-x" allows type exportedKey \(types\); change/,
  },
  {
    name: 'the key of the KMS plugin with a wildcard rule',
    pod: { namespace: 'vault-team' },
    objects: [{ ...PUBLIC, key: 'k8s-etcd' }],
    code: 'PERMISSION_DENIED',
    words:
      /lists key "k8s-etcd" by its exact name \(keys\), which the key of the KMS plugin requires/,
  },
]

const DATA_KEY = { path: 'x', type: 'dataKey', key: 'app-x', wrapped: CIPHERTEXT }
const CERTIFICATE = { path: 'x', type: 'certificate', key: 'app-x' }
const EXPORTED = { path: 'x', type: 'exportedKey', key: 'app-x' }
/** Each field of each type with an object that is otherwise valid. */
const FIELD_OWNERS: readonly (readonly [string, object])[] = [
  ...['path', 'type', 'key', 'mode', 'optional', 'format', 'version', 'alg', 'kid', 'comment'].map(
    (field) => [field, PUBLIC] as const,
  ),
  ...['alg', 'kid'].map((field) => [field, { path: 'x', type: 'jwks', key: 'app-x' }] as const),
  ...[
    'ciphertext',
    'jsonPointer',
    'yamlPointer',
    'decode',
    'encoding',
    'context',
    'associatedData',
  ].map((field) => [field, GOOD] as const),
  ['context', PUBLIC],
  ...['key', 'version'].map((field) => [field, CERTIFICATE] as const),
  ['name', PART],
  ['encoding', DATA_KEY],
  ['encoding', EXPORTED],
  ['wrapped', DATA_KEY],
]
const WRONG_VALUES = [7, 1.5, true, null, ['0444'], { toString: 'raw' }]
const VALID: Readonly<Record<string, unknown>> = { version: 7, optional: true }
const wrongTypes: readonly Case[] = FIELD_OWNERS.flatMap(([field, owner]) =>
  WRONG_VALUES.filter((value) => VALID[field] !== value).map((value) =>
    invalid(
      `${field}: ${JSON.stringify(value)}`,
      [{ ...owner, [field]: value }],
      new RegExp(`objects\\[0\\]\\.${field}: (must be|.* is not|is not|has no value)`),
    ),
  ),
)

/** Thousands of aliases, whose resolution once blocked the process for seconds. */
const COSTLY = `[&a x, ${'x,'.repeat(1_300)}${'*a,'.repeat(1_300)}]`
const refusedBeforeParsing: readonly Case[] = [
  {
    name: 'a costly class without a token',
    objects: COSTLY,
    change: { [TOKENS]: undefined },
    code: 'UNAUTHENTICATED',
    words: /sent no tokens/,
  },
  {
    name: 'a costly class of another namespace',
    objects: COSTLY,
    pod: { namespace: 'bank' },
    code: 'PERMISSION_DENIED',
    words: /no rule matches namespace "bank"/,
  },
  {
    name: 'a costly class with a role without a rule',
    objects: COSTLY,
    change: { role: 'admin' },
    code: 'PERMISSION_DENIED',
    words: /matches role "admin"/,
  },
  invalid('a costly class of an allowed pod', COSTLY, /contains a YAML alias/),
]

for (const { name, objects = [PUBLIC], change = {}, pod: given = {}, code, words } of [
  ...CASES,
  ...wrongTypes,
  ...refusedBeforeParsing,
]) {
  void test(`${name} is refused with its own message and without a request to Vault`, async (t) => {
    const pod = newPod(given)
    const mark = vault.bao.auditMark()
    const text = typeof objects === 'string' ? objects : JSON.stringify(objects)
    const changed = typeof change === 'function' ? await change(pod) : change
    const attributes = await vault.attributes(pod, text, changed)
    const refusal = await failure(fixture.driver.mount({ attributes }))
    t.match(refusal, { code, message: words })
    t.ok(refusal.message.length < 1_500, 'it fits into an event')
    t.notMatch(refusal.message, /eyJ|c2VjcmV0|hunter2/, 'neither a token nor a value is quoted')
    t.same(podRequests(vault, mark), [])
  })
}

void test('Vault decides whether a token is still valid and has the right audience', async (t) => {
  const cases = [
    [
      { expiresIn: -600 },
      /was refused: .*the token expired at .* kubelet no longer refreshes it, .*; the CSI driver must send a fresh token/,
    ],
    [
      { audience: 'other', claims: { aud: ['other'] } },
      /was refused: .*has audience "other", but csi\.audience is "vault"/,
    ],
  ] as const
  for (const [made, message] of cases) {
    const pod = newPod()
    const mark = vault.bao.auditMark()
    const change = { [TOKENS]: await vault.tokens(pod, made) }
    const attributes = await vault.attributes(pod, JSON.stringify([PUBLIC]), change)
    const refusal = await failure(fixture.driver.mount({ attributes }))
    t.match(refusal, { code: 'PERMISSION_DENIED', message })
    t.notMatch(refusal.message, /eyJ/)
    t.equal(podRequests(vault, mark).length, 1, 'the login alone')
  }
})

void test('attributes and secrets that are not JSON objects of text are refused', async (t) => {
  const mark = vault.bao.auditMark()
  const attributes = await vault.attributes(newPod(), [PUBLIC])
  for (const [input, field] of [
    [{ attributes: 'x' }, 'attributes'],
    [{ attributes: '[]' }, 'attributes'],
    [{ attributes: '{"role":{"a":"b"}}' }, 'attributes'],
    [
      { attributes: attributes.replace(TOKENS, 'csi.storage.k8s.io/other'), secrets: '{"x":1}' },
      'secrets',
    ],
  ] as const) {
    t.match(await failure(fixture.driver.mount(input)), {
      code: 'INVALID_ARGUMENT',
      message: `${field} of the request is not a JSON object with text values; only the Secrets Store CSI driver may use this socket`,
    })
  }
  t.same(podRequests(vault, mark), [])
})

void test('all faults of a class are reported at once', async (t) => {
  const objects = [
    { ...PUBLIC, path: '/x' },
    { path: 'y', type: 'decrypt', key: 'app-x' },
  ]
  const attributes = await vault.attributes(newPod(), JSON.stringify(objects), { role: 'a/b' })
  const { message } = await failure(fixture.driver.mount({ attributes }))
  t.match(
    message,
    /\(1\) role: is not .* \(2\) objects\[0\]\.path: is absolute.* \(3\) objects\[1\]\.ciphertext: is missing/,
  )
})

void test('the log reports refusals without a token or a value', async (t) => {
  const told = JSON.stringify(fixture.lines)
  t.match(told, /failed \(a new pod cannot start yet; a running pod keeps its files\)/)
  t.notMatch(told, /eyJ|c2VjcmV0|hunter2/)
})

// Explicit, because the open socket keeps tap waiting for more tests.
end()
