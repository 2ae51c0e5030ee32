import { readdirSync, readlinkSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { eventually } from '../host/eventually.ts'
import type { OpenBao } from '../vault/openbao.ts'
import { StuckPipe } from './stuck-pipe.ts'

/**
 * The audit device of an OpenBao, which can block: its file becomes a pipe that nothing reads. Vault answers no request that it
 * cannot write to a device.
 */
export class BlockedAudit {
  readonly #bao: Pick<OpenBao, 'dir' | 'pid' | 'reload'>
  readonly #path: string
  readonly #saved: string
  #pipe: StuckPipe | undefined

  constructor(bao: Pick<OpenBao, 'dir' | 'pid' | 'reload'>) {
    this.#bao = bao
    this.#path = join(bao.dir, 'audit.log')
    this.#saved = `${this.#path}.saved`
  }

  async block(): Promise<void> {
    renameSync(this.#path, this.#saved)
    this.#pipe = new StuckPipe(this.#path)
    this.#pipe.block()
    this.#bao.reload()
    await eventually('the audit device to be the pipe', () => this.#hasOpen(this.#path))
  }

  async unblock(): Promise<void> {
    this.#pipe?.drain()
    rmSync(this.#path)
    renameSync(this.#saved, this.#path)
    this.#bao.reload()
    await eventually('the audit device to be the file', () => this.#hasOpen(this.#path))
    this.#pipe?.stop()
    this.#pipe = undefined
  }

  #hasOpen(path: string): boolean {
    const folder = `/proc/${String(this.#bao.pid)}/fd`
    return readdirSync(folder).some((descriptor) => {
      try {
        return readlinkSync(join(folder, descriptor)) === path
      } catch {
        return false
      }
    })
  }
}
