import { execFileSync } from 'node:child_process'
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { MountNamespace } from '../host/mount-namespace.ts'
import { tempFolder } from '../host/temp-folder.ts'
import type { Wrap } from '../program/served-program.ts'

export interface FullFileSystem {
  /** Runs a program in the namespace, with its standard output in a file on this file system. */
  readonly wrap: Wrap
  readonly log: () => string
  readonly fill: () => void
  readonly makeRoom: () => void
  readonly stop: () => Promise<void>
}

/** A tmpfs of this many KiB without a free byte, which only programs in a mount namespace of their own see. Needs root. */
export async function fullFileSystem(sizeKib: number): Promise<FullFileSystem> {
  const folder = tempFolder('full')
  const namespace = await MountNamespace.start(tempFolder('mounts'))
  const options = ['-t', 'tmpfs', '-o', `size=${String(sizeKib)}k`, 'tmpfs', folder]
  const { command, args } = namespace.inside('mount', options)
  execFileSync(command, args)
  const filler = namespace.view(join(folder, 'filler'))
  const fillAll = () => {
    const file = openSync(filler, 'w')
    fill(file)
    closeSync(file)
  }
  fillAll()
  return {
    wrap: (line) => {
      const redirected = writeTo(join(folder, 'log'))(line)
      return namespace.inside(redirected.command, redirected.args)
    },
    log: () => readFileSync(namespace.view(join(folder, 'log')), 'utf8'),
    fill: fillAll,
    makeRoom: () => rmSync(filler),
    stop: () => namespace.stop(),
  }
}

/** Has the program write its standard output to a file. */
export function writeTo(file: string): Wrap {
  return ({ command, args }) => ({
    command: '/bin/sh',
    args: ['-c', 'file=$1; shift; exec "$@" > "$file"', 'sh', file, command, ...args],
  })
}

/** Writes until nothing more is accepted. */
export function fill(descriptor: number): void {
  const bytes = Buffer.alloc(4_096, '.')
  try {
    for (;;) writeSync(descriptor, bytes)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOSPC' && code !== 'EAGAIN') throw error
  }
}
