import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'

/** The time of every file of a release: SOURCE_DATE_EPOCH (https://reproducible-builds.org/specs/source-date-epoch/). */
export function sourceDate(): string {
  return process.env['SOURCE_DATE_EPOCH'] ?? '0'
}

/** Packs a folder into a tar archive whose bytes depend only on the names, modes and contents of its files. */
export function packTar(parent: string, name: string, file: string): void {
  const how = ['--create', '--format=gnu', '--sort=name', `--mtime=@${sourceDate()}`]
  const owner = ['--owner=0', '--group=0', '--numeric-owner']
  execFileSync('tar', [...how, ...owner, '-C', parent, '-f', file, name])
}

/** Gives all files of a folder the modes and the time that do not depend on the umask of this machine or on its clock. */
export function normalizeFiles(folder: string): void {
  execFileSync('chmod', ['-R', 'u+rwX,go+rX,go-w', folder])
  const touch = ['touch', '--no-dereference', `--date=@${sourceDate()}`]
  execFileSync('find', [folder, '-exec', ...touch, '{}', '+'])
}

/** Compresses with the zlib of the pinned Node.js, so that the bytes are the same on every machine. */
export function compress(file: string, target: string): void {
  writeFileSync(target, gzipSync(readFileSync(file), { level: 6 }))
}
