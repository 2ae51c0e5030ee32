import { join } from 'node:path'
import { test, type Test } from 'tap'

import { COMMANDS } from '../../src/commands/table.ts'
import { loadAll } from '../../src/commands/cli/command-table.ts'
import { formatProgramHelp } from '../../src/commands/cli/program-help.ts'
import { optionName } from '../../src/commands/cli/option.ts'
import { version } from '../../src/version.ts'
import { VALID } from '../config/valid-config.ts'
import { buildProgram, run } from './program.ts'

buildProgram()

const WRONG = VALID.replace('role: transit', 'rol: transit').replace('timeout: 2s', 'timeout: 2')

const SETUP_ALONE = `
vault: {address: https://vault, auth: {method: token, tokenFile: /t}}
transit: {key: k8s}
`

function folderOf(t: Test): string {
  return t.testdir({
    'ok.yaml': VALID,
    'wrong.yaml': WRONG,
    'csi-alone.yaml': 'vault: {address: https://vault}\ncsi: {audience: vault}\n',
    'setup-alone.yaml': SETUP_ALONE,
    'vault-alone.yaml': 'vault: {address: https://vault}\n',
    'empty.yaml': '',
    'sealed-off.yaml': VALID.replace(
      / {2}localKeys: .*/,
      '  localKeys: {enabled: false, sealedFile: /var/l, nodeKeyFile: /run/k}',
    ),
    'no-kms.yaml': VALID.replace(/kms:\n(  .*\n)+/, ''),
  })
}

const commands = await loadAll(COMMANDS)

function helpOf(name: string): string | undefined {
  return commands.find((command) => command.name === name)?.help
}

type Mistake = readonly [commandLine: string, message: string]

/** Wrong command lines, and the one-line message for each. */
const MISTAKES: readonly Mistake[] = [
  ['', 'a command is missing; see transit-bridge --help for all commands'],
  ['kmss', '"kmss" is not a command; did you mean kms?'],
  ['decrypt', '"decrypt" is not a command; see transit-bridge --help for all commands'],
  ['constructor', '"constructor" is not a command; see transit-bridge --help for all commands'],
  ['config', 'config needs a command: check, schema, encryption or node; see config --help'],
  ['config chek', 'config "chek" is not a command; did you mean config check?'],
  ['config check', 'config check: needs --config FILE; see config check --help'],
  ['config check --confg x', 'config check: --confg is not an option; did you mean --config?'],
  [
    'config check --verbose',
    'config check: --verbose is not an option; the options are --config, --json or --help',
  ],
  [
    'config check -x',
    'config check: -x is not an option; the options are --config, --json or --help',
  ],
  ['config check --config', 'config check: --config needs a value: --config FILE'],
  ['config check --config=', 'config check: --config needs a value: --config FILE'],
  ['config check --config --json', 'config check: --config needs a value: --config FILE'],
  ['config check --config -', 'config check: --config needs a value: --config FILE'],
  [
    'setup --helm-manifest -',
    'standard input contains no ConfigMap with a config.yaml; pass what helm template or helm get manifest prints for the chart transit-bridge',
  ],
  ['config check --config a --config b', 'config check: --config is specified twice'],
  ['config check --config a --json=yes', 'config check: --json takes no value'],
  ['config check a.yaml', 'config check: unexpected argument "a.yaml"'],
  ['config schema --config a', 'config schema: --config is not an option; the options are --help'],
  ['kms a.yaml', 'kms: unexpected argument "a.yaml"'],
  [
    'escrow create --config c --out e',
    'escrow create: needs --split K/N, such as 3/5, or --recipient AGE',
  ],
  [
    'escrow create --config c --out e --split 1/3',
    'escrow create: --split must be K/N such as 3/5; K must be at least 2 and at most N, and N at most 255',
  ],
  ...['5/3', 'three/5', '2/256'].map((split): readonly [string, string] => [
    `escrow create --config c --out e --split ${split}`,
    'escrow create: --split must be K/N such as 3/5; K must be at least 2 and at most N, and N at most 255',
  ]),
  [
    'escrow create --config c --out e --recipient foo',
    '--recipient (not shown: it may be secret) is not an age recipient; recipients start with age1 (age-keygen prints them)',
  ],
  [
    'escrow create --config c --out /nonexistent/e --split 2/3',
    '--out /nonexistent/e: /nonexistent does not exist; create it first',
  ],
  [
    'escrow check --escrow e --prometheus-file x.txt',
    'escrow check: --prometheus-file must end in .prom: the node exporter reads no other file',
  ],
  [
    'escrow open --escrow e --snapshot s --out o',
    'escrow open: needs --share FILE for each share, or --identity FILE',
  ],
  [
    'doctor --config x --accept-unknown audit,key-upsrt',
    'doctor: --accept-unknown: "key-upsrt" is not a check that can be unknown; did you mean key-upsert?',
  ],
  ['--versoin', '--versoin is not an option; did you mean --version?'],
  ['--version extra', 'unexpected argument "extra"'],
  ['help kmss', '"kmss" is not a command; did you mean kms?'],
  ['help kms now', 'help: kms has no subcommands; see kms --help'],
]

for (const [commandLine, message] of MISTAKES) {
  void test(`"transit-bridge ${commandLine}" reports what is wrong`, async (t) => {
    const args = commandLine.split(' ').filter((word) => word !== '')
    t.strictSame(await run(args), { code: 2, stdout: '', stderr: `transit-bridge: ${message}\n` })
  })
}

void test('help goes to standard output, no matter how it is requested', async (t) => {
  const asked = [
    [['--help'], formatProgramHelp(COMMANDS)],
    [['-h'], formatProgramHelp(COMMANDS)],
    [['help'], formatProgramHelp(COMMANDS)],
    [['help', '--help'], formatProgramHelp(COMMANDS)],
    [['help', 'help'], formatProgramHelp(COMMANDS)],
    [['kms', '--help'], helpOf('kms')],
    [['help', 'kms'], helpOf('kms')],
    [['config', 'check', '--config', 'x', '-h'], helpOf('config check')],
    [['help', 'config', 'check'], helpOf('config check')],
  ] as const
  for (const [args, text = ''] of asked) {
    t.strictSame(await run(args), { code: 0, stdout: `${text}\n`, stderr: '' }, args.join(' '))
  }
  for (const args of [
    ['config', '-h'],
    ['help', 'config'],
  ]) {
    const { code, stdout } = await run(args)
    t.equal(code, 0)
    for (const name of ['check', 'schema', 'encryption', 'node']) t.match(stdout, `    ${name} `)
  }
  t.match((await run(['csi', '--help'])).stdout, /csi --config FILE[\s\S]*Commands:\n {4}check /)
})

void test('the exit code 0 of verify proves that data can be decrypted only with the options that decrypt', async (t) => {
  const { stdout } = await run(['verify', '--help'])
  t.match(
    stdout.replaceAll(/\s+/g, ' '),
    'Exit code: 0 proved that everything is encrypted, and with --deep or --offline that it can be decrypted, 1 not proved',
  )
})

void test('the help of every command describes every option, within 80 columns', async (t) => {
  const texts = [formatProgramHelp(COMMANDS)]
  for (const { help, options } of commands) {
    for (const key of Object.keys(options)) t.match(help, `--${optionName(key)}`)
    texts.push(help)
  }
  for (const line of texts.join('\n').split('\n')) t.ok(line.length <= 80, line)
})

void test('the version is the one of package.json', async (t) => {
  t.strictSame(await run(['--version']), {
    code: 0,
    stdout: `transit-bridge ${version}\n`,
    stderr: '',
  })
})

void test('config check says ok, and what would run', async (t) => {
  const cwd = folderOf(t)
  t.strictSame(await run(['config', 'check', '--config', 'ok.yaml'], { cwd }), {
    code: 0,
    stdout: `ok.yaml: ok
  vault: https://vault.example.com:8200, login with jwt at auth/jwt as transit-bridge-kms
  transit: key k8s-etcd in transit
  kms: /run/transit-bridge/kms.sock, cluster prod-eu-1, outage grace 2m
  csi: /var/run/secrets-store-csi-providers/transit-bridge.sock, audience vault, 1 rule
  csi.runtime: driver transit.transit-bridge.io at /var/lib/kubelet/plugins/transit.transit-bridge.io/csi.sock, 1 rule with operations
  admin: http://127.0.0.1:9390
`,
    stderr: '',
  })
})

void test('config check says ok of the provider alone, and that it has no login', async (t) => {
  const cwd = folderOf(t)
  t.strictSame(await run(['config', 'check', '--config', 'csi-alone.yaml'], { cwd }), {
    code: 0,
    stdout: `csi-alone.yaml: ok
  vault: https://vault, no login (pods log in with their own tokens)
  transit: no key in transit
  kms: not configured
  csi: /var/run/secrets-store-csi-providers/transit-bridge.sock, audience vault, 0 rules
  admin: http://127.0.0.1:9390
`,
    stderr: '',
  })
})

void test('config check says that only setup accepts a file without kms and csi', async (t) => {
  const cwd = folderOf(t)
  t.match(await run(['config', 'check', '--config', 'setup-alone.yaml'], { cwd }), {
    code: 0,
    stdout: /: ok\n[^]*kms: not configured\n[^]*\n {2}note: only transit-bridge setup accepts this/,
  })
})

void test('config check reports what kms reports of a file that no program accepts', async (t) => {
  const cwd = folderOf(t)
  const lines = {
    'vault-alone.yaml': [/: vault\.auth: is missing/, /: transit: is missing/],
    'empty.yaml': [/: vault: is missing/, /: transit: is missing/],
  }
  for (const [file, expected] of Object.entries(lines)) {
    const { code, stdout } = await run(['config', 'check', '--config', file], { cwd })
    t.equal(code, 2, file)
    const found = stdout.trim().split('\n')
    t.equal(found.length, expected.length, stdout)
    for (const line of expected) t.match(stdout, line)
    const { stderr } = await run(['kms', '--config', file], { cwd })
    t.strictSame(
      stderr
        .trim()
        .split('\n')
        .map((line) => line.replace('transit-bridge: ', '')),
      found,
    )
  }
})

void test('config check warns of a sealed file without local keys, which has no effect', async (t) => {
  const cwd = folderOf(t)
  t.match(await run(['config', 'check', '--config', 'sealed-off.yaml'], { cwd }), {
    code: 0,
    stdout: /: ok\n[^]*\n {2}warn: kms\.localKeys\.enabled is false, so .*sealedFile has no effect/,
  })
  const { stdout } = await run(['config', 'check', '--config', 'ok.yaml'], { cwd })
  t.notMatch(stdout, 'warn')
})

void test('config check prints all faults, with file and line', async (t) => {
  const cwd = folderOf(t)
  t.strictSame(await run(['config', 'check', '--config', 'wrong.yaml'], { cwd }), {
    code: 2,
    stdout: `wrong.yaml:3: vault.timeout: is a number without a unit; add one, such as 2s
wrong.yaml:6: vault.auth.rol: is not a known key; did you mean role?
`,
    stderr: 'transit-bridge: wrong.yaml has 2 errors\n',
  })
})

void test('config check --json is one object either way', async (t) => {
  const cwd = folderOf(t)
  const right = await run(['config', 'check', '--json', '--config', 'ok.yaml'], { cwd })
  t.match(JSON.parse(right.stdout), { file: 'ok.yaml', ok: true, summary: [/^vault: /] })
  const wrong = await run(['config', 'check', '--json', '--config', 'wrong.yaml'], { cwd })
  t.equal(wrong.code, 2)
  t.match(JSON.parse(wrong.stdout), {
    file: 'wrong.yaml',
    ok: false,
    faults: [
      { path: 'vault.timeout', line: 3 },
      { path: 'vault.auth.rol', hint: 'did you mean role?' },
    ],
  })
})

void test('config check shows a variable, never its content', async (t) => {
  const file = join(
    t.testdir({ 'a.yaml': VALID.replace('transit-bridge-kms', '${ROLE}') }),
    'a.yaml',
  )
  const args = ['config', 'check', '--config', file]
  t.match(await run(args, { env: { ROLE: 'hunter2' } }), { code: 0, stdout: /as \$\{ROLE\}\n/ })
  t.match(await run(args), {
    code: 2,
    stdout: /: vault.auth.role: needs the environment variable ROLE/,
  })
})

void test('kms exits with 2 for an invalid configuration, and names every line', async (t) => {
  const cwd = folderOf(t)
  const { code, stdout, stderr } = await run(['kms', '--config', 'wrong.yaml'], { cwd })
  t.equal(code, 2)
  t.equal(stdout, '')
  t.match(stderr, /^(transit-bridge: wrong\.yaml:\d+: .*\n){2}$/)
})

void test('kms says what to add when its section is missing', async (t) => {
  const outcome = await run(['kms', '--config', 'no-kms.yaml'], { cwd: folderOf(t) })
  t.match(outcome, {
    code: 2,
    stdout: '',
    stderr: /^transit-bridge: kms: is missing; .* requires this section/,
  })
})

void test('kms reports what a file for the provider alone lacks', async (t) => {
  const outcome = await run(['kms', '--config', 'csi-alone.yaml'], { cwd: folderOf(t) })
  t.match(outcome, {
    code: 2,
    stdout: '',
    stderr: /: vault\.auth: is missing; how the program logs in .*\n.*: transit: is missing; /,
  })
})

void test('a missing file is reported in one line', async (t) => {
  t.strictSame(await run(['kms', '--config', '/nowhere.yaml']), {
    code: 2,
    stdout: '',
    stderr: 'transit-bridge: /nowhere.yaml: cannot be read: there is no such file\n',
  })
})

void test('config check is not ok if a variable of the configuration is not set', async (t) => {
  const address = 'https://${UNSET_IN_TESTS}:8200'
  const dir = t.testdir({ 'a.yaml': `vault: {address: '${address}'}\ncsi: {audience: vault}\n` })
  const file = join(dir, 'a.yaml')
  t.strictSame(await run(['config', 'check', '--config', file]), {
    code: 2,
    stdout: `${file}:1: vault.address: needs the environment variable UNSET_IN_TESTS, which is not set; set it, or write $$\{ for the characters themselves\n`,
    stderr: `transit-bridge: ${file} has an error\n`,
  })
})

void test('config schema prints JSON', async (t) => {
  const { code, stdout, stderr } = await run(['config', 'schema'])
  t.strictSame({ code, stderr }, { code: 0, stderr: '' })
  t.match(JSON.parse(stdout), {
    title: 'transit-bridge',
    required: ['vault'],
    additionalProperties: false,
  })
})

void test('a reader that closes early is not an error; a full disk is', async (t) => {
  const shell = (command: string) => run(['-c', command], { program: '/bin/sh' })
  t.strictSame(await shell('{ bin/transit-bridge config schema; echo $? >&2; } | true'), {
    code: 0,
    stdout: '',
    stderr: '0\n',
  })
  t.strictSame(await shell('bin/transit-bridge config schema > /dev/full'), {
    code: 1,
    stdout: '',
    stderr: 'transit-bridge: cannot write to standard output: ENOSPC\n',
  })
})
