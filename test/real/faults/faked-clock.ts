import { globSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tempFolder } from '../host/temp-folder.ts'
import type { Wrap } from '../program/served-program.ts'

/**
 * The wall clock of one program, which can jump while it runs: libfaketime (package faketime) reads the distance from a file. The
 * monotonic clock stays, as it does when a host's clock is set.
 */
export class FakedClock {
  readonly #file = join(tempFolder('clock'), 'offset')
  readonly #library: string

  constructor() {
    const [library] = globSync('/usr/lib/*/faketime/libfaketimeMT.so.1')
    if (library === undefined) throw new Error('install the package faketime')
    this.#library = library
    this.set('+0')
  }

  /** @param distance as `+1d`, `-2h` or `+0` (faketime(1)) */
  set(distance: string): void {
    writeFileSync(this.#file, distance)
  }

  readonly wrap: Wrap = ({ command, args }) => ({
    command: '/usr/bin/env',
    args: [
      `LD_PRELOAD=${this.#library}`,
      `FAKETIME_TIMESTAMP_FILE=${this.#file}`,
      'FAKETIME_NO_CACHE=1',
      'FAKETIME_DONT_FAKE_MONOTONIC=1',
      command,
      ...args,
    ],
  })
}
