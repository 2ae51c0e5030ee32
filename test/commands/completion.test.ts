import { execFileSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test, type Test } from 'tap'

import { tempFolder } from '../real/host/temp-folder.ts'
import { buildProgram, run } from './program.ts'

buildProgram()

async function writeScript(t: Test, shell: string): Promise<string> {
  const { code, stdout, stderr } = await run(['completion', shell])
  t.equal(code, 0, stderr)
  const file = join(tempFolder('completion'), `_transit-bridge.${shell}`)
  writeFileSync(file, stdout)
  return file
}

/** Command lines that end where Tab is pressed, and words that must and must not be offered. */
const ROWS = [
  { line: 'co', offered: ['config', 'completion'], not: ['csi'] },
  { line: 'config ', offered: ['check', 'encryption', 'node', 'schema'], not: ['kms'] },
  { line: 'csi ', offered: ['check'], not: ['config'] },
  { line: 'help dr', offered: ['drill'], not: ['doctor'] },
  { line: 'rewrite --me', offered: ['--method'], not: ['--rate'] },
  { line: 'rewrite --method ', offered: ['auto', 'patch', 'migration'], not: ['--rate'] },
  { line: 'config node --shape s', offered: ['static-pod', 'systemd'], not: ['daemonset'] },
  { line: 'help config ', offered: ['check', 'node'], not: ['kms'] },
  { line: 'completion ', offered: ['bash', 'fish', 'zsh'], not: ['kms'] },
  { line: '--', offered: ['--help', '--version'], not: ['--json'] },
  { line: 'escrow --', offered: ['--help'], not: ['--version'] },
]

/** Readline splits a word at "=". */
const SPLIT_ROWS = [
  { line: 'config node --shape =', offered: ['static-pod', 'systemd'], not: ['--config'] },
  { line: 'config node --shape = s', offered: ['static-pod', 'systemd'], not: ['daemonset'] },
]

function checkRow(
  t: Test,
  { line, offered, not }: (typeof ROWS)[number],
  found: readonly (string | undefined)[],
): void {
  t.strictSame(
    offered.filter((word) => !found.includes(word)),
    [],
    line,
  )
  t.strictSame(
    not.filter((word) => found.includes(word)),
    [],
    line,
  )
}

/** The lines of COMPREPLY, after one for each call of compopt, which works only while a person types. */
function completeInBash(file: string, words: readonly string[], folder: string): string[] {
  const script = `source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
    compopt() { echo "compopt $*"; }
    _transit_bridge; printf '%s\\n' "\${COMPREPLY[@]}"`
  const args = ['-c', script, 'bash', file, 'transit-bridge', ...words]
  return execFileSync('bash', args, { encoding: 'utf8', cwd: folder }).trimEnd().split('\n')
}

void test('bash completes commands, options and values', async (t) => {
  const file = await writeScript(t, 'bash')
  for (const row of [...ROWS, ...SPLIT_ROWS])
    checkRow(t, row, completeInBash(file, row.line.split(' '), '/'))
})

void test('bash quotes file names, and completes a command that is also a folder', async (t) => {
  const file = await writeScript(t, 'bash')
  const folder = tempFolder('files')
  mkdirSync(join(folder, 'config'))
  writeFileSync(join(folder, 'my plugin.yaml'), '')
  const complete = (...words: string[]) => completeInBash(file, words, folder)
  const named = ['compopt -o filenames', 'my plugin.yaml']
  t.same(complete('kms', '--config', 'my'), named)
  t.same(complete('kms', '--config', '=', 'my'), named)
  t.same(complete('audit', 'my'), named, 'an operand')
  t.same(complete('conf'), ['config'], 'not the folder: Readline would append a slash')
})

void test('fish completes commands, options and values', async (t) => {
  const file = await writeScript(t, 'fish')
  for (const row of ROWS) {
    const script = `source ${file}; complete -C 'transit-bridge ${row.line}'`
    const output = execFileSync('fish', ['--no-config', '-c', script], { encoding: 'utf8' })
    const found = output.split('\n').map((text) => text.split('\t')[0])
    checkRow(t, row, found)
  }
})

/**
 * zsh runs completion functions only in its line editor. So the script runs in a real zsh, and what it hands to the
 * editor (_describe, _arguments) is printed instead.
 */
void test('zsh receives commands, options and values, each with its meaning', async (t) => {
  const file = await writeScript(t, 'zsh')
  const script = `
    compdef() { :; }
    _describe() { print -rl -- "\${commands[@]}"; }
    _arguments() { print -rl -- "$@"; }
    source "$1"; shift
    words=("$@"); CURRENT=$#
    _transit_bridge`
  const complete = (line: string) =>
    execFileSync('zsh', ['-f', '-c', script, 'zsh', file, 'transit-bridge', ...line.split(' ')], {
      encoding: 'utf8',
    })
  t.match(complete('config '), /^check:Check a configuration/m)
  t.match(complete('csi '), /^check:/m)
  t.match(complete('help config '), /^check:Check a configuration/m)
  t.match(complete('completion '), /^zsh:/m)
  t.match(complete('csi --config '), /^\*--config\[.*:value:_files$/m, 'a file, not a subcommand')
  t.match(
    complete('rewrite --me'),
    /^\*--method\[patch, migration .*\]:value:\(auto patch migration\)$/m,
  )
  t.match(complete('config node --s'), /:value:\(static-pod systemd k3s rke2 daemonset\)$/m)
  t.notMatch(complete('config node --s'), '--method')
})

void test('another shell is refused by name', async (t) => {
  t.match(await run(['completion', 'tcsh']), {
    code: 2,
    stderr: /completion: the shell must be bash, zsh or fish, not "tcsh"/,
  })
})
